/** One evaluation: what happened, what it tried, what stopped it, whether that counts, and what proves it. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { evaluation, specification, useMe } from "../../api/queries";
import { type Evaluation, isFinal } from "../../api/types";
import { Usage } from "../../charts/Usage";
import { CopyButton } from "../../components/CopyButton";
import { count, moment, shortId } from "../../components/format";
import { Panel } from "../../components/Panel";
import { Badge, Failure, Loading, Notice } from "../../components/states";
import { standing } from "../../components/words";
import { Editor } from "../../editor/Editor";
import { Inert } from "../../guest/Inert";
import { Output } from "../../live/Output";
import { useRows, useRun } from "../../live/run";
import { Behaviour, Findings } from "../../live/Stopped";
import { useTitle } from "../../shell/title";
import { Actions } from "./Actions";
import { Evidence } from "./Evidence";
import { Facts } from "./Facts";
import { Files } from "./Files";
import { ReviewPanel } from "./Review";
import { Phases, Timeline } from "./Timeline";
import "./evaluation.css";

export default function EvaluationPage({ id }: { id: string }) {
  useTitle(`Evaluation ${shortId(id)}`);
  const cache = useQueryClient();
  const { data, error, isPending, refetch } = useQuery({
    ...evaluation(id),
    refetchInterval: ({ state }) =>
      state.data && !isFinal(state.data.evaluation.state) && state.data.evaluation.state !== "held"
        ? 2_000
        : false,
  });
  const { run, version, stream } = useRun(
    data ? id : null,
    () => {
      const now = cache.getQueryData(evaluation(id).queryKey);
      if (!now || !isFinal(now.evaluation.state)) {
        void cache.invalidateQueries({ queryKey: ["evaluation", id] });
      }
    },
    !data?.evaluation.outcome,
  );
  const finalStdout = useRows(data?.stdout);
  const finalStderr = useRows(data?.stderr);
  const spec = useQuery({ ...specification(id), enabled: data !== undefined });
  const { may } = useMe();
  const [showAll, setShowAll] = useState(false);

  if (isPending) return <Loading what="the evaluation" lines={9} />;
  if (error) return <Failure error={error} onRetry={() => void refetch()} />;

  const shown: Evaluation = data.evaluation;
  const { outcome } = shown;
  const final = isFinal(shown.state);
  const stands = standing(shown.state, outcome?.status, outcome?.exit_code);
  const findings = outcome?.findings.length ? outcome.findings : (shown.findings ?? []);
  const behavior = outcome?.behavior ?? [];
  const labels = Object.entries(shown.labels);
  const mine = findings.filter((finding) => !finding.file || finding.file.startsWith("main."));

  return (
    <>
      <div className="page-head">
        <div className="grow evaluation-head">
          <p className="small">
            <Link href="/evaluations">Evaluations</Link> <span className="soft">/</span>{" "}
            <span className="mono soft" title={id}>
              {id}
            </span>
          </p>
          <div className="cluster">
            <h1>
              <span className="unseen">Evaluation: </span>
              {stands.label}
            </h1>
            <Badge tone={stands.tone}>{shown.state}</Badge>
            {stream === "offline" && !final && <Badge tone="warn">Offline, reconnecting…</Badge>}
          </div>
          <p className="cluster small soft">
            <span>{outcome?.language ?? spec.data?.language ?? ""}</span>
            {outcome && <span>on {outcome.backend}</span>}
            <span>asked for {moment(shown.created_at)}</span>
            {shown.attempt > 1 && <span>attempt {shown.attempt}</span>}
            {labels.map(([name, value]) => (
              <Link
                key={name}
                href={`/evaluations?label=${encodeURIComponent(`${name}=${value}`)}`}
                className="chip"
                title={`${name}=${value}`}
              >
                <Inert text={`${name}=${value}`} />
              </Link>
            ))}
          </p>
        </div>
        <Actions evaluation={shown} />
      </div>

      {shown.state === "held" && <ReviewPanel evaluation={shown} may={may("reviewer")} />}
      {shown.review && (
        <Notice tone={shown.review.decision === "approved" ? "good" : "held"}>
          <strong>{shown.review.decision === "approved" ? "Approved" : "Rejected"}</strong> by{" "}
          <Inert text={shown.review.by} />, {moment(shown.review.at)}: <Inert text={shown.review.reason} />
        </Notice>
      )}
      {shown.failure && (
        <Notice tone="bad">
          <strong>Crucible couldn't run it.</strong> <Inert text={shown.failure.message} />
          {shown.failure.hint && <Inert text={shown.failure.hint} />}
        </Notice>
      )}

      <Facts evaluation={shown} />

      <div className="evaluation-grid">
        <div className="stack">
          <section className="panel" aria-label="Output">
            <Output
              name={shortId(id)}
              running={!final && shown.state !== "held"}
              both={{ rows: run.both, version, full: run.full }}
              stdout={{
                rows: outcome ? finalStdout.rows : run.stdout,
                version: outcome ? finalStdout.version : version,
                truncated: outcome?.stdout_truncated ?? false,
              }}
              stderr={{
                rows: outcome ? finalStderr.rows : run.stderr,
                version: outcome ? finalStderr.version : version,
                truncated: outcome?.stderr_truncated ?? false,
              }}
            />
          </section>

          {(data.files.length > 0 || (outcome?.files_refused?.length ?? 0) > 0) && (
            <Panel title="Files it gave out">
              <Files files={data.files} refused={outcome?.files_refused ?? []} />
            </Panel>
          )}

          {spec.data?.code != null && (
            <Panel
              title="The program"
              flush
              aside={<CopyButton text={() => spec.data?.code ?? ""} label="Copy" />}
            >
              <div className="evaluation-code">
                <Editor
                  value={spec.data.code}
                  language={spec.data.language ?? "python"}
                  label="The program"
                  findings={mine}
                  readOnly
                />
              </div>
            </Panel>
          )}

          <Panel
            title="Timeline"
            flush
            aside={<span className="small soft">{count(run.events.length)} events</span>}
          >
            {outcome && <Phases timings={outcome.timings} />}
            <Timeline run={run} version={version} />
          </Panel>
        </div>

        <div className="stack">
          <Panel title="What it tried">
            {behavior.length > 0 ? (
              <>
                <Behaviour behavior={showAll ? behavior : behavior.slice(0, 8)} />
                {behavior.length > 8 && (
                  <button
                    type="button"
                    className="button compact more-button"
                    onClick={() => setShowAll(!showAll)}
                  >
                    {showAll ? "Show fewer" : `Show all ${behavior.length}`}
                  </button>
                )}
              </>
            ) : (
              <p className="soft">
                {outcome ? "Nothing out of the ordinary was seen." : "Nothing has been seen yet."}
              </p>
            )}
            <Unwatched evaluation={shown} />
          </Panel>

          <Panel title="What the scanner saw">
            {findings.length > 0 ? (
              <Findings findings={findings.slice(0, 200)} />
            ) : (
              <p className="soft">
                {final || outcome ? "Nothing." : "It hasn't looked yet, or saw nothing."}
              </p>
            )}
          </Panel>

          {outcome?.anomalies && outcome.anomalies.length > 0 && (
            <Panel title="Where it stands out">
              <ul className="plain-list">
                {outcome.anomalies.map((anomaly, at) => (
                  <li key={at}>
                    <Inert text={anomaly.message} />
                  </li>
                ))}
              </ul>
            </Panel>
          )}

          {(outcome || run.samples.length > 0) && (
            <Panel title="What it used">
              <Usage
                samples={outcome?.samples?.length ? outcome.samples : run.samples}
                cpuMs={outcome?.usage.cpu_ms ?? null}
                memoryPeak={outcome?.usage.memory_peak_bytes ?? null}
                processesPeak={outcome?.usage.processes_peak ?? null}
              />
            </Panel>
          )}

          {outcome && <Evidence id={id} outcome={outcome} />}
        </div>
      </div>
    </>
  );
}

/** Parts of the run that nobody could watch: no news of them is no good news. */
function Unwatched({ evaluation: shown }: { evaluation: Evaluation }) {
  const blind = Object.entries(shown.outcome?.monitoring ?? {}).filter(
    ([, coverage]) => coverage.state === "unavailable",
  );
  if (blind.length === 0) return null;
  return (
    <p className="small soft unwatched">
      Not watched: {blind.map(([part]) => part.replaceAll("_", " ")).join(", ")}. Nothing seen there means
      nothing.
    </p>
  );
}
