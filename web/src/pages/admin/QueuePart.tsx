import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { type QueueFlow, setFlow } from "../../api/operator";
import { evaluations, queue, rerun } from "../../api/queries";
import type { EvaluationSummary } from "../../api/types";
import { Confirm, type Question, Wrong } from "../../components/Confirm";
import { Button, Checkbox } from "../../components/controls";
import { ago, milliseconds, shortId } from "../../components/format";
import { Panel } from "../../components/Panel";
import { ScrollX } from "../../components/ScrollX";
import { Badge, Empty, Failure, Loading, type Tone } from "../../components/states";
import { Head } from "./Head";
import { useAct } from "./useAct";

const flows: Record<QueueFlow, { tone: Tone; label: string; means: string }> = {
  open: { tone: "good", label: "Open", means: "Evaluations come in and are run." },
  paused: { tone: "warn", label: "Paused", means: "Evaluations come in and wait; none is begun." },
  draining: {
    tone: "warn",
    label: "Draining",
    means: "No new evaluation comes in; what waits is still run. It is for taking the service down.",
  },
};

export function QueuePart() {
  const asked = useQuery(queue);
  const { busy, wrong, act } = useAct("queue");
  const [question, setQuestion] = useState<Question | null>(null);
  if (asked.isPending) return <Loading what="the queue" />;
  if (asked.isError && !asked.data)
    return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  const now = asked.data;
  const flow = flows[now.flow];
  const to = (next: QueueFlow): void => {
    void act(() => setFlow(next));
  };
  const drain = (): void =>
    setQuestion({
      title: "Drain the queue?",
      body: (
        <>
          <p>
            From now on every submission is refused with 503, for all projects, until the queue is opened
            again.
          </p>
          <p>
            The {now.running} that {now.running === 1 ? "runs" : "run"} and the {now.waiting + now.delayed}{" "}
            that {now.waiting + now.delayed === 1 ? "waits" : "wait"} are still run.
          </p>
        </>
      ),
      action: "Drain the queue",
      run: async () => {
        await setFlow("draining");
        await asked.refetch();
      },
    });

  return (
    <>
      <Head title="Queue" about="What waits to be run, and whether anything is let in or begun." />
      {wrong !== null && <Wrong error={wrong} />}
      <section className="panel flow" aria-label="What the queue lets through">
        <div className="grow">
          <span role="status">
            <Badge tone={flow.tone}>{flow.label}</Badge>
          </span>
          <p>{flow.means}</p>
        </div>
        <div className="cluster">
          {now.flow !== "open" && (
            <Button look="main" icon="play" isDisabled={busy} onPress={() => to("open")}>
              Open
            </Button>
          )}
          {now.flow !== "paused" && (
            <Button isDisabled={busy} onPress={() => to("paused")}>
              Pause
            </Button>
          )}
          {now.flow !== "draining" && (
            <Button look="bad" isDisabled={busy} onPress={drain}>
              Drain
            </Button>
          )}
        </div>
        <dl className="facts">
          <dt>Waiting</dt>
          <dd className="number">
            {now.waiting.toLocaleString("en")} of {now.most_queued.toLocaleString("en")}
          </dd>
          <dt>Waiting to be tried again</dt>
          <dd className="number">{now.delayed.toLocaleString("en")}</dd>
          <dt>The first has waited</dt>
          <dd className="number">{milliseconds(now.oldest_ms)}</dd>
          <dt>Running</dt>
          <dd className="number">
            {now.running} of {now.most_running}
          </dd>
        </dl>
      </section>
      <Dead />
      <Confirm question={question} onClose={() => setQuestion(null)} />
    </>
  );
}

function Dead() {
  const list = useInfiniteQuery({
    queryKey: ["evaluations", { state: "dead" }],
    queryFn: ({ pageParam }) => evaluations({ state: "dead" }, pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.cursor ?? null,
    refetchInterval: 15_000,
  });
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  /** Under which id each of them was submitted again. */
  const [again, setAgain] = useState<ReadonlyMap<string, string>>(new Map());
  const { busy, wrong, act } = useAct("evaluations", "queue");
  const rows: EvaluationSummary[] = list.data?.pages.flatMap((page) => page.evaluations) ?? [];
  const left = rows.filter(({ id }) => !again.has(id));
  const picked = left.filter(({ id }) => chosen.has(id));

  const retry = async (which: EvaluationSummary[]): Promise<void> => {
    await act(async () => {
      // One after the other: they go on where they were if one is refused.
      for (const { id } of which) {
        const made = await rerun(id);
        setAgain((before) => new Map(before).set(id, made.id));
      }
    });
    setChosen(new Set());
  };

  return (
    <Panel
      title="Given up"
      flush
      aside={
        rows.length > 0 && (
          <Button
            compact
            icon="again"
            isDisabled={busy || left.length === 0}
            onPress={() => void retry(picked.length > 0 ? picked : left)}
          >
            {busy
              ? "Submitting…"
              : picked.length > 0
                ? `Try ${picked.length} again`
                : left.length === 0
                  ? "All are submitted again"
                  : `Try all ${left.length} again`}
          </Button>
        )
      }
    >
      {wrong !== null && (
        <div className="panel-body">
          <Wrong error={wrong} />
        </div>
      )}
      {list.isPending ? (
        <Loading what="what was given up" lines={3} />
      ) : list.isError && rows.length === 0 ? (
        <Failure error={list.error} onRetry={() => void list.refetch()} />
      ) : rows.length === 0 ? (
        <Empty title="Nothing was given up" icon="check">
          <p>Here is what Crucible failed at three times. Mend the cause, then try it again from here.</p>
        </Empty>
      ) : (
        <>
          <ScrollX label="Evaluations that were given up">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">
                    <span className="unseen">Select</span>
                  </th>
                  <th scope="col">Evaluation</th>
                  <th scope="col">Backend</th>
                  <th scope="col">Project</th>
                  <th scope="col" className="right">
                    Tries
                  </th>
                  <th scope="col" className="right">
                    Given up
                  </th>
                  <th scope="col">Again</th>
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => {
                  const made = again.get(row.id);
                  return (
                    <tr key={row.id}>
                      <td>
                        <Checkbox
                          aria-label={`Select ${shortId(row.id)}`}
                          isSelected={chosen.has(row.id)}
                          isDisabled={made !== undefined}
                          onChange={(on) => {
                            const after = new Set(chosen);
                            if (on) after.add(row.id);
                            else after.delete(row.id);
                            setChosen(after);
                          }}
                        />
                      </td>
                      <td>
                        <Link href={`/evaluations/${row.id}`} className="mono">
                          {shortId(row.id)}
                        </Link>
                      </td>
                      <td>{row.backend ?? "–"}</td>
                      <td>{row.project}</td>
                      <td className="right">{row.attempt}</td>
                      <td className="right">{ago(row.finished_at ?? row.created_at)}</td>
                      <td>
                        {made ? (
                          <Link href={`/evaluations/${made}`} className="mono">
                            {shortId(made)}
                          </Link>
                        ) : (
                          <span className="soft">–</span>
                        )}
                      </td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </ScrollX>
          {list.hasNextPage && (
            <div className="panel-body">
              <Button compact onPress={() => void list.fetchNextPage()}>
                Show more
              </Button>
            </div>
          )}
        </>
      )}
    </Panel>
  );
}
