import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type ServiceBackend, setBackend } from "../../api/operator";
import { backends } from "../../api/queries";
import { Confirm, type Question, Wrong } from "../../components/Confirm";
import { Button, Dialog, Field } from "../../components/controls";
import { Said } from "../../components/Said";
import { Badge, Failure, Loading, type Tone } from "../../components/states";
import { isolationName, layerName } from "../../components/words";
import { Head } from "./Head";
import { wholeNumber } from "./numbers";
import { useAct } from "./useAct";

function standing(backend: ServiceBackend): { tone: Tone; label: string } {
  if (backend.enabled === false) return { tone: "quiet", label: "Switched off" };
  return backend.in_use ? { tone: "good", label: "In use" } : { tone: "bad", label: "Out of use" };
}

export function Backends() {
  const asked = useQuery({ ...backends, staleTime: 0, refetchInterval: 10_000 });
  const { busy, wrong, act } = useAct("backends", "components");
  const [question, setQuestion] = useState<Question | null>(null);
  const [limit, setLimit] = useState<ServiceBackend | null>(null);
  if (asked.isPending) return <Loading what="backends" />;
  if (asked.isError && !asked.data)
    return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  const list = asked.data.backends as ServiceBackend[];

  const toggle = (backend: ServiceBackend): void => {
    const most = backend.most_running ?? null;
    if (backend.enabled === false) {
      void act(() => setBackend(backend.backend, { enabled: true, most_running: most }));
      return;
    }
    const rest = list.filter((other) => other !== backend && other.in_use).map((other) => other.backend);
    setQuestion({
      title: `Switch ${backend.backend} off?`,
      body: (
        <>
          <p>
            Nothing new is begun on {backend.backend}, until it is switched on again; that holds over a
            restart. What runs on it now goes on.
          </p>
          <p>
            Evaluations that name it wait.{" "}
            {rest.length > 0
              ? `Those that leave the choice to the service go to ${rest.join(" or ")}, where their policy admits it.`
              : "No other backend is in use, so nothing is run at all."}
          </p>
        </>
      ),
      action: `Switch ${backend.backend} off`,
      run: async () => {
        await setBackend(backend.backend, { enabled: false, most_running: most });
        await asked.refetch();
      },
    });
  };

  return (
    <>
      <Head
        title="Backends"
        about="What programs are run in. The service prefers the first that is in use and that the policy admits."
      />
      {wrong !== null && <Wrong error={wrong} />}
      <div className="parts">
        {list.map((backend) => {
          const { tone, label } = standing(backend);
          const layers = Object.entries(backend.layers);
          const active = layers.filter(([, layer]) => layer?.active);
          const off = layers.filter(([, layer]) => !layer?.active);
          return (
            <section key={backend.backend} className="panel part" aria-label={backend.backend}>
              <div className="part-head">
                <h2 className="grow">{backend.backend}</h2>
                <Badge tone={tone}>{label}</Badge>
              </div>
              {backend.out_because && backend.enabled !== false && (
                <p className="small">{backend.out_because}</p>
              )}
              <dl className="facts">
                <dt>Version</dt>
                <dd>{backend.version}</dd>
                <dt>Wall</dt>
                <dd>{isolationName(backend.isolation)}</dd>
                <dt>At one time</dt>
                <dd>
                  {backend.most_running === undefined || backend.most_running === null
                    ? "as many as the service runs"
                    : `${backend.most_running} at most`}
                  {backend.running !== undefined && `, ${backend.running} now`}
                </dd>
                <dt>Layers</dt>
                <dd>
                  {active.length} of {layers.length}
                </dd>
              </dl>
              <details className="small">
                <summary>What it enforces</summary>
                <ul className="checks">
                  {active.map(([name, layer]) => (
                    <li key={name}>
                      {layerName(name)}
                      {layer && "detail" in layer && layer.detail && (
                        <span className="soft">{layer.detail}</span>
                      )}
                    </li>
                  ))}
                  {off.map(([name, layer]) => (
                    <li key={name}>
                      <span className="soft">Not: {layerName(name)}</span>
                      {layer && "reason" in layer && layer.reason && (
                        <span className="soft">{layer.reason}</span>
                      )}
                    </li>
                  ))}
                </ul>
              </details>
              <div className="cluster part-when">
                <Button
                  compact
                  look={backend.enabled === false ? "main" : "usual"}
                  isDisabled={busy}
                  onPress={() => toggle(backend)}
                >
                  {backend.enabled === false ? "Switch on" : "Switch off"}
                </Button>
                <Button compact onPress={() => setLimit(backend)}>
                  Limit
                </Button>
              </div>
            </section>
          );
        })}
        {asked.data.unavailable.map(({ backend, reason, hint }) => (
          <section key={backend} className="panel part" aria-label={backend}>
            <div className="part-head">
              <h2 className="grow">{backend}</h2>
              <Badge tone="quiet">Not on this machine</Badge>
            </div>
            <p className="small soft">{reason}</p>
            {hint && (
              <p className="small mend">
                <b>How to mend it:</b> <Said text={hint} />
              </p>
            )}
          </section>
        ))}
      </div>
      <Confirm question={question} onClose={() => setQuestion(null)} />
      <Dialog
        title={`How many run on ${limit?.backend ?? ""} at one time`}
        isOpen={limit !== null}
        onClose={() => setLimit(null)}
      >
        {limit && <Limit key={limit.backend} backend={limit} onClose={() => setLimit(null)} />}
      </Dialog>
    </>
  );
}

function Limit({ backend, onClose }: { backend: ServiceBackend; onClose: () => void }) {
  const [text, setText] = useState(String(backend.most_running ?? ""));
  const { busy, wrong, act } = useAct("backends");
  const number = wholeNumber(text, 1);
  const save = async (): Promise<void> => {
    if (number.wrong !== null) return;
    const wish = { enabled: backend.enabled !== false, most_running: number.value };
    if (await act(() => setBackend(backend.backend, wish))) onClose();
  };
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <Field
        label="The most at one time"
        value={text}
        onChange={setText}
        placeholder="no limit of its own"
        wrong={number.wrong}
        autoFocus
      />
      <p className="small soft">Left empty, only the service's own limit holds.</p>
      {wrong !== null && <Wrong error={wrong} />}
      <div className="ends">
        <Button onPress={onClose}>Leave it</Button>
        <Button look="main" type="submit" isDisabled={busy || number.wrong !== null}>
          Save
        </Button>
      </div>
    </form>
  );
}
