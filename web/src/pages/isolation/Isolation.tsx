/** What each backend's wall withstood when it was attacked, and the attack itself. */
import { useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { Fragment, useMemo, useState } from "react";
import { useSearchParams } from "wouter";
import { type AttackRun, attack, attacks, cancelAttack, type Verdict } from "../../api/operator";
import { backends, useMe } from "../../api/queries";
import { Confirm, type Question } from "../../components/Confirm";
import { Button, Checkbox } from "../../components/controls";
import { ago, milliseconds, moment } from "../../components/format";
import { Panel } from "../../components/Panel";
import { Said } from "../../components/Said";
import { ScrollX } from "../../components/ScrollX";
import { Badge, Empty, Failure, Loading } from "../../components/states";
import { isolationName } from "../../components/words";
import { useTitle } from "../../shell/title";
import { Drawer } from "./Drawer";
import { type Cell, counts, matrixOf, type Row, worthReading } from "./matrix";
import { RunDialog } from "./RunDialog";
import { groupName, verdicts } from "./words";
import "./isolation.css";

const ORDER: Verdict[] = ["held", "breached", "inconclusive", "not_applicable"];

export default function Isolation() {
  useTitle("Isolation");
  const { may } = useMe();
  const cache = useQueryClient();
  const [params, setParams] = useSearchParams();
  const known = useQuery(backends);
  const runs = useQuery(attacks);
  const read = useQueries({ queries: worthReading(runs.data ?? []).map(({ id }) => attack(id)) });
  const [ask, setAsk] = useState<{ backend?: string; only?: string[] } | null>(null);
  const [question, setQuestion] = useState<Question | null>(null);
  const [openOnly, setOpenOnly] = useState(false);

  const reports = read.flatMap(({ data }) => (data ? [data] : []));
  const signature = reports.map(({ id }) => id).join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: reports never change, so their ids tell whether anything did
  const matrix = useMemo(() => matrixOf(reports), [signature]);
  const running = runs.data?.find(({ state }) => state === "running");

  const columns = useMemo(() => {
    const names = new Set([
      ...(known.data?.backends ?? []).map(({ backend }) => backend),
      ...matrix.cells.keys(),
    ]);
    return [...names];
  }, [known.data, matrix]);

  const show = (property: string | null, backend?: string): void =>
    setParams(
      (before) => {
        const after = new URLSearchParams(before);
        after.delete("property");
        after.delete("backend");
        if (property !== null) after.set("property", property);
        if (backend !== undefined) after.set("backend", backend);
        return after;
      },
      { replace: true },
    );

  const rows = matrix.groups.flatMap(({ rows }) => rows);
  const notHeld = (row: Row): boolean =>
    columns.some((backend) => {
      const verdict = matrix.cells.get(backend)?.get(row.id)?.property.verdict;
      return verdict === "breached" || verdict === "inconclusive";
    });
  const shown = matrix.groups
    .map(({ name, rows }) => ({ name, rows: openOnly ? rows.filter(notHeld) : rows }))
    .filter(({ rows }) => rows.length > 0);
  const opened = rows.find(({ id }) => id === params.get("property")) ?? null;

  const cancel = (run: AttackRun): void =>
    setQuestion({
      title: "Cancel this attack?",
      body: (
        <p>
          It has tried {run.done} of {run.total} properties of {run.backend}. What it found so far is thrown
          away; the matrix keeps what earlier runs found.
        </p>
      ),
      action: "Cancel the attack",
      run: async () => {
        await cancelAttack(run.id);
        await cache.invalidateQueries({ queryKey: ["attacks"] });
      },
    });

  return (
    <div className="stack">
      <div className="page-head">
        <div className="grow head-words">
          <h1>Isolation</h1>
          <p>
            Every property was attacked in the sandbox as it is used, and again with the protection left off.
            A green cell means: it held in the first, and gave way in the second.
          </p>
        </div>
        {may("admin") && (
          <Button look="main" icon="play" onPress={() => setAsk({})} isDisabled={running !== undefined}>
            Run the suite
          </Button>
        )}
      </div>

      {running && <Progress run={running} onCancel={may("admin") ? () => cancel(running) : null} />}

      {runs.isPending || known.isPending || read.some(({ isPending }) => isPending) ? (
        <Loading what="the matrix" lines={12} />
      ) : runs.isError ? (
        <Failure error={runs.error} onRetry={() => void runs.refetch()} />
      ) : (
        <>
          <div className="suites">
            {columns.map((backend) => (
              <Summary
                key={backend}
                backend={backend}
                isolation={known.data?.backends.find((one) => one.backend === backend)?.isolation}
                column={matrix.cells.get(backend)}
                onRun={may("admin") && !running ? () => setAsk({ backend }) : null}
              />
            ))}
            {known.data?.unavailable.map(({ backend, reason, hint }) => (
              <section key={backend} className="suite panel" aria-label={backend}>
                <h2>{backend}</h2>
                <Badge tone="quiet">Not on this machine</Badge>
                <p className="soft small">
                  <Said text={reason} />
                </p>
                {hint && (
                  <p className="small">
                    <Said text={hint} />
                  </p>
                )}
              </section>
            ))}
          </div>

          {rows.length === 0 ? (
            <Empty
              title={running ? "The first attack is being made" : "Nothing has been attacked yet"}
              icon="shield"
            >
              <p>
                A wall that nobody has tried proves little. The suite takes half a minute on the jail and does
                no harm, even if it gets through.
              </p>
              {may("admin") ? (
                <Button look="main" icon="play" onPress={() => setAsk({})} isDisabled={running !== undefined}>
                  Run the suite
                </Button>
              ) : (
                <p>Whoever runs this service can start it.</p>
              )}
            </Empty>
          ) : (
            <Panel
              title={`${rows.length} properties`}
              flush
              aside={
                <Checkbox isSelected={openOnly} onChange={setOpenOnly}>
                  <span className="small">Only what isn't held</span>
                </Checkbox>
              }
            >
              <ul className="legend small soft" aria-label="Signs">
                {ORDER.map((verdict) => (
                  <li key={verdict}>
                    <span className={`sign tone-${verdicts[verdict].tone}`} aria-hidden="true">
                      {verdicts[verdict].sign}
                    </span>{" "}
                    {verdicts[verdict].label}
                  </li>
                ))}
              </ul>
              {shown.length === 0 ? (
                <p className="panel-body soft">Nothing is breached, and nothing is inconclusive.</p>
              ) : (
                <ScrollX label="The matrix">
                  <table className="table matrix">
                    <thead>
                      <tr>
                        <th scope="col">What holds</th>
                        {columns.map((backend) => (
                          <th key={backend} scope="col" className="cell">
                            {backend}
                          </th>
                        ))}
                      </tr>
                    </thead>
                    <tbody>
                      {shown.map(({ name, rows }) => (
                        <Fragment key={name}>
                          <tr className="group">
                            <th scope="rowgroup" colSpan={columns.length + 1}>
                              {groupName(name)} <span className="soft number">{rows.length}</span>
                            </th>
                          </tr>
                          {rows.map((row) => (
                            <tr key={row.id}>
                              <th scope="row">
                                <button type="button" className="property" onClick={() => show(row.id)}>
                                  {row.statement}
                                </button>
                                <span className="mono soft wide">{row.id}</span>
                              </th>
                              {columns.map((backend) => {
                                const cell = matrix.cells.get(backend)?.get(row.id);
                                if (!cell)
                                  return (
                                    <td key={backend} className="cell">
                                      <span className="soft" title="Not run">
                                        ·
                                      </span>
                                      <span className="unseen">not run</span>
                                    </td>
                                  );
                                const verdict = verdicts[cell.property.verdict];
                                return (
                                  <td key={backend} className="cell">
                                    <button
                                      type="button"
                                      className={`sign tone-${verdict.tone}`}
                                      title={`${verdict.label}: ${cell.property.reason}`}
                                      aria-label={`${row.id} on ${backend}: ${verdict.label}`}
                                      onClick={() => show(row.id, backend)}
                                    >
                                      {verdict.sign}
                                    </button>
                                  </td>
                                );
                              })}
                            </tr>
                          ))}
                        </Fragment>
                      ))}
                    </tbody>
                  </table>
                </ScrollX>
              )}
            </Panel>
          )}
          {(runs.data?.length ?? 0) > 0 && <Runs runs={runs.data ?? []} />}
        </>
      )}

      <Drawer
        row={opened}
        rows={rows}
        columns={columns}
        first={params.get("backend")}
        matrix={matrix}
        onShow={show}
        onRun={may("admin") && !running ? (backend, property) => setAsk({ backend, only: [property] }) : null}
      />
      <RunDialog
        wish={ask}
        backends={known.data?.backends.map(({ backend }) => backend) ?? []}
        groups={matrix.groups}
        onClose={() => setAsk(null)}
        onStarted={() => {
          setAsk(null);
          show(null);
          void cache.invalidateQueries({ queryKey: ["attacks"] });
        }}
      />
      <Confirm question={question} onClose={() => setQuestion(null)} />
    </div>
  );
}

function Progress({ run, onCancel }: { run: AttackRun; onCancel: (() => void) | null }) {
  return (
    <section className="panel attack-progress" aria-label="The attack that runs now">
      <div className="cluster">
        <span className="grow">
          <strong>Attacking {run.backend}</strong>{" "}
          <span className="soft number" role="status">
            {run.total > 0 ? `${run.done} of ${run.total} properties` : "getting ready"}
          </span>
        </span>
        {run.held > 0 && <Badge tone="good">{run.held} held</Badge>}
        {run.breached > 0 && <Badge tone="bad">{run.breached} breached</Badge>}
        {run.inconclusive > 0 && <Badge tone="warn">{run.inconclusive} inconclusive</Badge>}
        {onCancel && (
          <Button compact look="bad" icon="stop" onPress={onCancel}>
            Cancel
          </Button>
        )}
      </div>
      {run.current && <p className="mono small soft attack-current">{run.current}</p>}
      <progress max={Math.max(run.total, 1)} value={run.done} aria-label={`Attack on ${run.backend}`} />
    </section>
  );
}

function Summary(props: {
  backend: string;
  isolation: string | undefined;
  column: Map<string, Cell> | undefined;
  onRun: (() => void) | null;
}) {
  const { backend, column } = props;
  const found = counts(column);
  const newest = [...(column?.values() ?? [])]
    .map(({ run }) => run.finished_at ?? run.created_at)
    .sort()
    .at(-1);
  // Parts that held say nothing of the rest.
  const wholeSuite = [...(column?.values() ?? [])].some(
    ({ run }) => run.only === undefined || run.only.length === 0,
  );
  const [tone, words] =
    column === undefined
      ? (["quiet", "Not attacked yet"] as const)
      : found.breached > 0
        ? (["bad", `${found.breached} breached`] as const)
        : found.inconclusive > 0
          ? (["warn", `${found.inconclusive} inconclusive`] as const)
          : wholeSuite
            ? (["good", "Everything held"] as const)
            : (["quiet", "A part tried, and held"] as const);
  const whole = column?.size ?? 0;
  return (
    <section className="suite panel" aria-label={backend}>
      <h2>{backend}</h2>
      <Badge tone={tone}>{words}</Badge>
      {whole > 0 && (
        <div className="shares" aria-hidden="true">
          {ORDER.filter((verdict) => found[verdict] > 0).map((verdict) => (
            <span
              key={verdict}
              className={`tone-${verdicts[verdict].tone}`}
              style={{ flexGrow: found[verdict] }}
            />
          ))}
        </div>
      )}
      <p className="small">
        {whole > 0 ? (
          <>
            {ORDER.filter((verdict) => found[verdict] > 0)
              .map((verdict) => `${found[verdict]} ${verdicts[verdict].label.toLowerCase()}`)
              .join(", ")}
            <span className="soft"> · {ago(newest)}</span>
          </>
        ) : (
          <span className="soft">
            {props.isolation ? `By its own word: ${isolationName(props.isolation)}. ` : ""}Nobody has tried it
            here.
          </span>
        )}
      </p>
      {props.onRun && (
        <Button compact icon={whole > 0 ? "again" : "play"} onPress={props.onRun}>
          {whole > 0 ? `Attack ${backend} again` : `Attack ${backend}`}
        </Button>
      )}
    </section>
  );
}

const runStates: Record<AttackRun["state"], { label: string; tone: "live" | "good" | "bad" | "quiet" }> = {
  running: { label: "Running", tone: "live" },
  finished: { label: "Finished", tone: "good" },
  failed: { label: "Failed", tone: "bad" },
  cancelled: { label: "Cancelled", tone: "quiet" },
};

function Runs({ runs }: { runs: AttackRun[] }) {
  return (
    <Panel title="Runs" flush>
      <ScrollX label="All runs">
        <table className="table runs">
          <thead>
            <tr>
              <th scope="col">State</th>
              <th scope="col">Backend</th>
              <th scope="col">Found</th>
              <th scope="col" className="right">
                Took
              </th>
              <th scope="col" className="right">
                Begun
              </th>
            </tr>
          </thead>
          <tbody>
            {runs.slice(0, 20).map((run) => {
              const verdict = run.breached > 0 ? "bad" : run.inconclusive > 0 ? "warn" : null;
              return (
                <tr key={run.id}>
                  <td>
                    <Badge tone={runStates[run.state].tone}>{runStates[run.state].label}</Badge>
                    {run.failure && <p className="small run-failure">{run.failure.message}</p>}
                  </td>
                  <td>{run.backend}</td>
                  <td>
                    {run.state === "finished" ? (
                      <>
                        {run.held} held
                        {run.breached > 0 && `, ${run.breached} breached`}
                        {run.inconclusive > 0 && `, ${run.inconclusive} inconclusive`}{" "}
                        <span className="soft">of {run.total}</span>
                      </>
                    ) : (
                      <span className="soft">
                        {run.done} of {run.total} tried
                      </span>
                    )}
                    {verdict && <span className="unseen"> not everything held</span>}
                  </td>
                  <td className="right">
                    {run.finished_at
                      ? milliseconds(new Date(run.finished_at).getTime() - new Date(run.created_at).getTime())
                      : "–"}
                  </td>
                  <td className="right soft" title={run.created_at}>
                    {moment(run.created_at)}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </ScrollX>
    </Panel>
  );
}
