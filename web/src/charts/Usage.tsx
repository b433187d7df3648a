/** What a run used over time. The chart is loaded when it is wanted; its numbers are in words beside it. */
import { Suspense } from "react";
import type { Sample } from "../api/types";
import { bytes, milliseconds } from "../components/format";
import { later } from "../components/later";
import { Loading } from "../components/states";
import "./charts.css";

const Lines = later(() => import("./Lines"));

function processor(samples: Sample[]): (number | null)[] {
  return samples.map((sample, at) => {
    const before = samples[at - 1] ?? { at_ms: 0, cpu_ms: 0 };
    const took = sample.at_ms - before.at_ms;
    return took > 0 ? Math.max(0, ((sample.cpu_ms - before.cpu_ms) / took) * 100) : null;
  });
}

export function Usage(props: {
  samples: Sample[];
  cpuMs: number | null;
  memoryPeak: number | null;
  processesPeak: number | null;
}) {
  const { samples } = props;
  const x = samples.map((sample) => sample.at_ms);
  // While it runs there are only the samples.
  const most = (of: (sample: Sample) => number | null | undefined): number | null =>
    samples.reduce<number | null>((so, sample) => {
      const value = of(sample);
      return value === null || value === undefined ? so : Math.max(so ?? 0, value);
    }, null);
  return (
    <div className="usage">
      <dl className="usage-facts">
        <div>
          <dt>Processor time</dt>
          <dd>{milliseconds(props.cpuMs ?? most((sample) => sample.cpu_ms))}</dd>
        </div>
        <div>
          <dt>Most memory</dt>
          <dd>{bytes(props.memoryPeak ?? most((sample) => sample.memory_bytes))}</dd>
        </div>
        <div>
          <dt>Most processes</dt>
          <dd>{props.processesPeak ?? most((sample) => sample.processes) ?? "–"}</dd>
        </div>
      </dl>
      {samples.length > 1 ? (
        <Suspense fallback={<Loading what="the charts" lines={3} />}>
          <Lines
            label="Processor, percent of one"
            x={x}
            lines={[{ colour: "--chart-1", y: processor(samples) }]}
            show={(value) => `${Math.round(value)}%`}
          />
          <Lines
            label="Memory"
            x={x}
            lines={[{ colour: "--chart-2", y: samples.map((sample) => sample.memory_bytes ?? null) }]}
            show={bytes}
          />
          <Lines
            label="Processes and threads"
            x={x}
            lines={[{ colour: "--chart-3", y: samples.map((sample) => sample.processes ?? null) }]}
            show={(value) => String(Math.round(value))}
          />
        </Suspense>
      ) : (
        <p className="soft small">It was over before it could be looked at twice.</p>
      )}
    </div>
  );
}
