/** Lines or bars over time, with a legend that says the numbers at the pointer, or else the newest. uPlot comes when it is needed. */
import { Suspense, useState } from "react";
import { later } from "../components/later";
import "./over-time.css";

const Canvas = later(() => import("./OverTimeCanvas"));

export type ChartColour = "1" | "2" | "3" | "4" | "good" | "warn" | "bad" | "held" | "quiet";

export interface Series {
  label: string;
  colour: ChartColour;
  values: (number | null)[];
}

export interface OverTimeProps {
  label: string;
  /** Seconds since 1970, the earliest first. */
  times: number[];
  series: Series[];
  say: (value: number) => string;
  /** Bars that stand upon each other, instead of lines. */
  stacked?: boolean;
  /** Lines that stay level from one time to the next. */
  steps?: boolean;
  /** Things that are counted: the axis has whole numbers alone. */
  counted?: boolean;
  /** Each step up the axis is ten times the one below. */
  logarithmic?: boolean;
}

export function OverTime(props: OverTimeProps) {
  const [at, setAt] = useState<number | null>(null);
  const shown = at !== null && at < props.times.length ? at : props.times.length - 1;
  const time = props.times[shown];
  return (
    <figure className="over-time">
      <div className="over-time-plot" aria-hidden="true">
        <Suspense fallback={null}>
          <Canvas {...props} onPoint={setAt} />
        </Suspense>
      </div>
      <figcaption>
        <span className="over-time-when number">
          {time === undefined
            ? ""
            : at === null
              ? "Now"
              : new Date(time * 1000).toLocaleTimeString("en-GB", { hour12: false })}
        </span>
        <ul className="over-time-legend" aria-label={`${props.label}, the newest numbers`}>
          {props.series.map((series) => {
            const value = series.values[shown];
            return (
              <li key={series.label}>
                <span className={`swatch colour-${series.colour}`} aria-hidden="true" />
                {series.label}{" "}
                <strong className="number">
                  {value === null || value === undefined ? "–" : props.say(value)}
                </strong>
              </li>
            );
          })}
        </ul>
      </figcaption>
    </figure>
  );
}
