import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { keys, type Project, projects, setProject } from "../../api/operator";
import { queue, useMe } from "../../api/queries";
import { Wrong } from "../../components/Confirm";
import { Button, Dialog, Field } from "../../components/controls";
import { Panel } from "../../components/Panel";
import { ScrollX } from "../../components/ScrollX";
import { Failure, Loading } from "../../components/states";
import { Inert } from "../../guest/Inert";
import { Head } from "./Head";
import { wholeNumber } from "./numbers";
import { useAct } from "./useAct";

const bound = (value: number | null | undefined): string =>
  value === null || value === undefined ? "no bound" : value.toLocaleString("en");

export function Projects() {
  const asked = useQuery(projects);
  const now = useQuery(queue);
  const { me } = useMe();
  const known = useQuery({ ...keys, enabled: me?.keys_required === true });
  const [editing, setEditing] = useState<Partial<Project> | null>(null);
  if (asked.isPending) return <Loading what="projects" />;
  if (asked.isError) return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  const set = new Map(asked.data.projects.map((project) => [project.project, project]));
  const names = [
    ...new Set([
      "default",
      ...set.keys(),
      ...Object.keys(now.data?.projects ?? {}),
      ...(known.data?.keys.map(({ project }) => project) ?? []),
    ]),
  ].sort();

  return (
    <>
      <Head
        title="Projects"
        about="What belongs to one project doesn't exist for another. Waiting evaluations are begun fairly between them."
      >
        <Button look="main" onPress={() => setEditing({})}>
          Set a quota
        </Button>
      </Head>
      <Panel title="Quotas and use" flush>
        <ScrollX label="Projects">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Project</th>
                <th scope="col" className="right">
                  Running now
                </th>
                <th scope="col" className="right">
                  Waiting now
                </th>
                <th scope="col" className="right">
                  Most running
                </th>
                <th scope="col" className="right">
                  Most waiting
                </th>
                <th scope="col" className="right">
                  Most in a day
                </th>
                <th scope="col">
                  <span className="unseen">What to do</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {names.map((name) => {
                const use = now.data?.projects[name];
                const quotas = set.get(name)?.quotas;
                return (
                  <tr key={name}>
                    <td>
                      <strong>
                        <Inert text={name} />
                      </strong>
                    </td>
                    <td className="right">{use?.leased ?? 0}</td>
                    <td className="right">{(use?.waiting ?? 0) + (use?.delayed ?? 0)}</td>
                    <td className="right">{bound(quotas?.most_running)}</td>
                    <td className="right">{bound(quotas?.most_queued)}</td>
                    <td className="right">{bound(quotas?.most_per_day)}</td>
                    <td className="right">
                      <Button
                        compact
                        aria-label={`Change the quotas of ${name}`}
                        onPress={() => setEditing(set.get(name) ?? { project: name })}
                      >
                        Change
                      </Button>
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </ScrollX>
      </Panel>
      <Dialog
        title={editing?.project ? `Quotas of ${editing.project}` : "Quotas of a project"}
        isOpen={editing !== null}
        onClose={() => setEditing(null)}
      >
        {editing && <Quotas key={editing.project ?? ""} project={editing} onClose={() => setEditing(null)} />}
      </Dialog>
    </>
  );
}

function Quotas({ project, onClose }: { project: Partial<Project>; onClose: () => void }) {
  const [name, setName] = useState(project.project ?? "");
  const given = project.quotas;
  const [running, setRunning] = useState(String(given?.most_running ?? ""));
  const [queued, setQueued] = useState(String(given?.most_queued ?? ""));
  const [daily, setDaily] = useState(String(given?.most_per_day ?? ""));
  const numbers = [wholeNumber(running), wholeNumber(queued), wholeNumber(daily)] as const;
  const { busy, wrong, act } = useAct("projects");
  const fine = numbers.every((number) => number.wrong === null) && name.trim() !== "";
  const save = async (): Promise<void> => {
    if (!fine) return;
    const done = await act(() =>
      setProject(name.trim(), {
        most_running: numbers[0].value,
        most_queued: numbers[1].value,
        most_per_day: numbers[2].value,
      }),
    );
    if (done) onClose();
  };
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      {!project.project && <Field label="Project" value={name} onChange={setName} autoFocus isRequired />}
      <Field
        label="Running at one time"
        value={running}
        onChange={setRunning}
        placeholder="no bound"
        wrong={numbers[0].wrong}
      />
      <Field
        label="Waiting at one time"
        value={queued}
        onChange={setQueued}
        placeholder="no bound"
        wrong={numbers[1].wrong}
      />
      <Field
        label="Accepted in a day"
        value={daily}
        onChange={setDaily}
        placeholder="no bound"
        wrong={numbers[2].wrong}
      />
      <p className="small soft">
        Above a bound, what is submitted is answered with 429; what is there already stays.
      </p>
      {wrong !== null && <Wrong error={wrong} />}
      <div className="ends">
        <Button onPress={onClose}>Leave it</Button>
        <Button look="main" type="submit" isDisabled={busy || !fine}>
          Save
        </Button>
      </div>
    </form>
  );
}
