import { useMemo } from "react";
import type { Bucket, Statistics } from "../../api/operator";
import { type ChartColour, OverTime, type Series } from "../../charts/OverTime";
import { milliseconds } from "../../components/format";
import { Panel } from "../../components/Panel";
import { statusChoices } from "../../components/words";

/** One colour for one way of ending, always the same. */
const OUTCOMES: Record<string, ChartColour> = {
  exited: "3",
  signaled: "bad",
  timed_out: "2",
  out_of_memory: "4",
  limit_exceeded: "warn",
  denied: "held",
  cancelled: "quiet",
};

const whole = (value: number): string =>
  Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(value < 10 ? 1 : 0);

export function Charts({ statistics }: { statistics: Statistics }) {
  const { buckets, bucket_seconds: seconds } = statistics;
  const made = useMemo(() => {
    const of = (pick: (bucket: Bucket) => number | null | undefined): (number | null)[] =>
      buckets.map((bucket) => pick(bucket) ?? null);
    const ended = ({ finished }: Bucket): number =>
      Object.values(finished).reduce((sum, some) => sum + some, 0);
    const a = 60 / seconds;
    const seen = new Set(buckets.flatMap(({ finished }) => Object.keys(finished)));
    const outcomes: Series[] = statusChoices
      .filter(({ value }) => value === "exited" || seen.has(value))
      .map(({ value, label }) => ({
        label,
        colour: OUTCOMES[value] ?? "quiet",
        values: of(({ finished }) => finished[value] ?? 0),
      }));
    outcomes.push({ label: "Couldn't be run", colour: "bad", values: of(({ failed }) => failed) });
    // Only admins are told of the whole service.
    const admin = buckets.some(({ sandboxes }) => typeof sandboxes === "number");
    return {
      admin,
      times: buckets.map(({ at }) => new Date(at).getTime() / 1000),
      throughput: [
        { label: "Asked for", colour: "2", values: of(({ submitted }) => submitted * a) },
        { label: "Finished", colour: "1", values: of((bucket) => ended(bucket) * a) },
      ] satisfies Series[],
      queue: [
        { label: "Waiting", colour: "2", values: of(({ queued }) => queued) },
        { label: "Running", colour: "1", values: of(({ running }) => running) },
        ...(admin
          ? [{ label: "Sandboxes", colour: "4", values: of(({ sandboxes }) => sandboxes) } satisfies Series]
          : []),
      ] satisfies Series[],
      age: [
        { label: "The first in the queue", colour: "2", values: of(({ oldest_age_s }) => oldest_age_s) },
      ] satisfies Series[],
      latency: [
        { label: "Half", colour: "3", values: of(({ latency_ms }) => latency_ms?.p50 ?? null) },
        { label: "90 of 100", colour: "1", values: of(({ latency_ms }) => latency_ms?.p90 ?? null) },
        { label: "99 of 100", colour: "4", values: of(({ latency_ms }) => latency_ms?.p99 ?? null) },
      ] satisfies Series[],
      runs: [
        { label: "Half", colour: "3", values: of(({ run_ms }) => run_ms?.p50 ?? null) },
        { label: "90 of 100", colour: "1", values: of(({ run_ms }) => run_ms?.p90 ?? null) },
        { label: "99 of 100", colour: "4", values: of(({ run_ms }) => run_ms?.p99 ?? null) },
      ] satisfies Series[],
      outcomes,
    };
  }, [buckets, seconds]);

  const span = seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return (
    <div className="charts">
      <Panel title="Throughput, each minute">
        <OverTime label="Throughput" times={made.times} series={made.throughput} counted say={whole} />
      </Panel>
      <Panel title="Queue and what runs">
        <OverTime label="Queue" times={made.times} series={made.queue} counted say={whole} steps />
      </Panel>
      <Panel title={`How they ended, each ${span}`}>
        <OverTime label="Outcomes" times={made.times} series={made.outcomes} counted say={whole} stacked />
      </Panel>
      <Panel title="From asking to result">
        <OverTime label="Latency" times={made.times} series={made.latency} say={milliseconds} logarithmic />
      </Panel>
      <Panel title="How long programs ran">
        <OverTime label="Running time" times={made.times} series={made.runs} say={milliseconds} logarithmic />
      </Panel>
      {made.admin && (
        <Panel title="How long the first has waited">
          <OverTime
            label="Age of the queue"
            times={made.times}
            series={made.age}
            say={(value) => (value === 0 ? "none" : milliseconds(value * 1000))}
            steps
          />
        </Panel>
      )}
    </div>
  );
}
