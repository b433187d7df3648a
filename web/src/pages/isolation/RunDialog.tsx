import { useEffect, useState } from "react";
import { startAttack } from "../../api/operator";
import { Wrong } from "../../components/Confirm";
import { Button, Checkbox, Dialog, Select } from "../../components/controls";
import type { Matrix } from "./matrix";
import { groupName } from "./words";

/** Asks what to attack. Groups are known from earlier runs; without any, it is the whole suite. */
export function RunDialog(props: {
  wish: { backend?: string; only?: string[] } | null;
  backends: string[];
  groups: Matrix["groups"];
  onClose: () => void;
  onStarted: () => void;
}) {
  return (
    <Dialog title="Attack a sandbox" isOpen={props.wish !== null} onClose={props.onClose}>
      {props.wish && <Body {...props} wish={props.wish} />}
    </Dialog>
  );
}

function Body(props: Parameters<typeof RunDialog>[0] & { wish: { backend?: string; only?: string[] } }) {
  const { wish, groups } = props;
  const [backend, setBackend] = useState(wish.backend ?? props.backends[0] ?? "");
  const [chosen, setChosen] = useState<string[]>(groups.map(({ name }) => name));
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<unknown>(null);
  useEffect(() => {
    if (backend === "" && props.backends[0]) setBackend(props.backends[0]);
  }, [backend, props.backends]);

  const ids = groups
    .filter(({ name }) => chosen.includes(name))
    .flatMap(({ rows }) => rows.map(({ id }) => id));
  const all = groups.length === 0 || chosen.length === groups.length;
  const start = async (): Promise<void> => {
    setBusy(true);
    setWrong(null);
    try {
      await startAttack(backend, wish.only ?? (all ? [] : ids));
      props.onStarted();
    } catch (error) {
      setWrong(error);
      setBusy(false);
    }
  };
  return (
    <>
      <p className="small">
        Probes try to get out of sandboxes that the suite makes for itself. Each is harmless if it succeeds.
        Evaluations go on meanwhile, a little slower.
      </p>
      <Select
        label="Backend"
        value={backend}
        onChange={setBackend}
        choices={props.backends.map((name) => ({ value: name, label: name }))}
      />
      {wish.only ? (
        <p className="small">
          One property: <code>{wish.only.join(", ")}</code>
        </p>
      ) : groups.length > 0 ? (
        <fieldset className="group-choice">
          <legend className="small">What to try</legend>
          {groups.map(({ name, rows }) => (
            <Checkbox
              key={name}
              isSelected={chosen.includes(name)}
              onChange={(on) => setChosen(on ? [...chosen, name] : chosen.filter((other) => other !== name))}
            >
              <span className="small">
                {groupName(name)} <span className="soft number">{rows.length}</span>
              </span>
            </Checkbox>
          ))}
        </fieldset>
      ) : (
        <p className="small soft">
          The whole suite: some hundred properties, about half a minute on the jail.
        </p>
      )}
      {wrong !== null && <Wrong error={wrong} />}
      <div className="ends">
        <Button onPress={props.onClose}>Not now</Button>
        <Button
          look="main"
          icon="play"
          isDisabled={busy || backend === "" || (!wish.only && groups.length > 0 && ids.length === 0)}
          onPress={() => void start()}
        >
          {busy
            ? "Starting…"
            : wish.only
              ? "Try it"
              : all
                ? "Run the whole suite"
                : `Try ${ids.length} properties`}
        </Button>
      </div>
    </>
  );
}
