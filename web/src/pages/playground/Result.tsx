/** What comes of a run in the playground, as it comes. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { Problem } from "../../api/problem";
import { cancel, evaluation } from "../../api/queries";
import { isFinal } from "../../api/types";
import { Button, ButtonLink } from "../../components/controls";
import { Badge, Empty, Notice } from "../../components/states";
import { Output } from "../../live/Output";
import { useRun } from "../../live/run";
import { Behaviour } from "../../live/Stopped";
import { happened, stopped, tried } from "../../live/summary";
import { Files } from "../evaluation/Files";

export function Result(props: { id: string | null; problem: Problem | null; mayRun: boolean }) {
  const { id, problem } = props;
  const cache = useQueryClient();
  const { run, version, stream } = useRun(id, () => {
    if (id !== null) void cache.invalidateQueries({ queryKey: ["evaluation", id] });
  });
  const held = run.events.some((event) => event.kind === "held");
  const { data } = useQuery({
    ...evaluation(id ?? ""),
    enabled: id !== null && (run.over || held),
  });
  const evaluated = data?.evaluation;
  const final = evaluated !== undefined && isFinal(evaluated.state);

  const body = () => {
    if (problem) {
      return (
        <div className="panel-body">
          <Notice tone="bad" alert>
            <strong>It wasn't taken.</strong> {problem.message}
            {problem.hint && <span>{problem.hint}</span>}
          </Notice>
        </div>
      );
    }
    if (id === null) {
      return (
        <Empty title={props.mayRun ? "Nothing has run yet" : "Your key only lets you look"} icon="play">
          <p>
            {props.mayRun
              ? "Press Run, or Ctrl and Enter. What the program writes comes here as it is written."
              : "To run code, sign in with a key that may submit."}
          </p>
        </Empty>
      );
    }
    const output = { version };
    return (
      <>
        <Output
          name={id.slice(-8)}
          running={!final && !held}
          both={{ rows: run.both, full: run.full, ...output }}
          stdout={{ rows: run.stdout, truncated: evaluated?.outcome?.stdout_truncated ?? false, ...output }}
          stderr={{ rows: run.stderr, truncated: evaluated?.outcome?.stderr_truncated ?? false, ...output }}
        />
        {evaluated && (
          <div className="result-facts">
            <dl className="facts">
              <dt>What happened</dt>
              <dd>{happened(evaluated).words}</dd>
              <dt>What it tried</dt>
              <dd>{tried(evaluated).words}</dd>
              <dt>What stopped it</dt>
              <dd>
                {stopped(evaluated).title === "Nothing" ? "" : `${stopped(evaluated).title}. `}
                {stopped(evaluated).words}
              </dd>
            </dl>
            {evaluated.outcome && evaluated.outcome.behavior.length > 0 && (
              <Behaviour behavior={evaluated.outcome.behavior.slice(0, 5)} />
            )}
            {data.files.length > 0 && <Files files={data.files} refused={[]} />}
          </div>
        )}
      </>
    );
  };

  const fact = evaluated
    ? happened(evaluated)
    : stream === "offline"
      ? ({ tone: "warn", title: "Offline, reconnecting…" } as const)
      : run.events.some((event) => event.kind === "command_started")
        ? ({ tone: "live", title: "Running" } as const)
        : ({ tone: "quiet", title: "Waiting" } as const);

  return (
    <section className="panel bench-result" aria-label="Result">
      <div className="panel-head">
        <h2 className="grow">Result</h2>
        {id !== null && !problem && (
          <>
            <span role="status">
              <Badge tone={fact.tone}>{fact.title}</Badge>
            </span>
            {!final && !held && (
              <Button compact icon="stop" onPress={() => void cancel(id).catch(() => undefined)}>
                Stop
              </Button>
            )}
            <ButtonLink href={`/evaluations/${id}`} compact>
              Everything about it
            </ButtonLink>
          </>
        )}
      </div>
      {body()}
    </section>
  );
}
