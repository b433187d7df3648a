import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useStore } from "../api/store";
import { theme } from "../theme/theme";
import type { ChartColour, OverTimeProps } from "./OverTime";
import { stack } from "./stack";

const HEIGHT = 180;

function variable(style: CSSStyleDeclaration, colour: ChartColour): string {
  return style.getPropertyValue(/^\d$/.test(colour) ? `--chart-${colour}` : `--${colour}`).trim();
}

const WHOLE = [1, 2, 5]
  .flatMap((first) => Array.from({ length: 10 }, (_, zeros) => first * 10 ** zeros))
  .sort((a, b) => a - b);

function stepOf(times: number[]): number {
  const [first, second] = times.slice(-2);
  return first !== undefined && second !== undefined ? second - first : 0;
}

/** Places with nothing on either side: a line can't show them, a dot can. */
function alone(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  const none = (at: number): boolean => values[at] === null || values[at] === undefined;
  for (let at = 0; at < values.length; at++) {
    if (!none(at) && none(at - 1) && none(at + 1)) found.push(at);
  }
  return found;
}

/** `1.00 s` as `1 s`: an axis says no more than it has to. */
function tick(said: string): string {
  return said.replace(/\.0+(?=\D|$)/, "");
}

function decades(low: number, high: number): number[] {
  const found: number[] = [];
  for (let at = Math.round(Math.log10(low)); at <= Math.round(Math.log10(high)); at++) found.push(10 ** at);
  return found;
}

/** What is drawn: a stack is drawn from its whole height down, each bar over a part of the one before. */
function dataOf(props: OverTimeProps): uPlot.AlignedData {
  const values = props.series.map((series) => series.values);
  if (!props.stacked) return [props.times, ...values] as uPlot.AlignedData;
  return [props.times, ...stack(values).reverse()] as uPlot.AlignedData;
}

export default function OverTimeCanvas(props: OverTimeProps & { onPoint: (at: number | null) => void }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const now = useStore(theme);
  const shape = `${props.stacked}${props.steps}${props.logarithmic}${props.series.map(({ label, colour }) => label + colour).join()}`;

  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme or other series make another chart
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const style = getComputedStyle(document.documentElement);
    const given = latest.current;
    const text = style.getPropertyValue("--text-soft").trim();
    const line = style.getPropertyValue("--line").trim();
    const font = `11px ${style.getPropertyValue("--sans")}`;
    const order = given.stacked ? [...given.series].reverse() : given.series;
    const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const chart = new uPlot(
      {
        width: element.clientWidth || 300,
        height: HEIGHT,
        legend: { show: false },
        padding: [10, 8, 0, 0],
        cursor: { y: false, points: { show: !given.stacked }, drag: { x: false, y: false } },
        scales: {
          // The last span has a width, too.
          x: { time: true, range: (_, low, high) => [low, high + stepOf(latest.current.times)] },
          y: given.logarithmic
            ? {
                distr: 3,
                range: (_, low, high) => [
                  10 ** Math.floor(Math.log10(low || 1)),
                  10 ** Math.ceil(Math.log10((high || 10) * 1.01)),
                ],
              }
            : { range: (_, __, high) => [0, high > 0 ? high * 1.1 : 1] },
        },
        axes: [
          { ...axis, grid: { show: false }, size: 26, space: 70, values: "{HH}:{mm}" },
          {
            ...axis,
            size: 58,
            ...(given.logarithmic ? { splits: (_, __, low, high) => decades(low, high) } : {}),
            space: 36,
            ...(given.counted ? { incrs: WHOLE } : {}),
            values: (_, splits) =>
              splits.map((value) => (value === null ? "" : tick(latest.current.say(value)))),
          },
        ],
        series: [
          {},
          ...order.map((series): uPlot.Series => {
            const colour = variable(style, series.colour);
            if (given.stacked) {
              return {
                stroke: colour,
                fill: colour,
                width: 0,
                points: { show: false },
                ...(uPlot.paths.bars ? { paths: uPlot.paths.bars({ size: [0.82, 40], align: 1 }) } : {}),
              };
            }
            return {
              stroke: colour,
              width: 1.75,
              points: {
                show: true,
                size: 5,
                fill: colour,
                filter: (self, at) => alone(self.data[at] ?? []),
              },
              ...(given.steps && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
            };
          }),
        ],
        hooks: {
          setCursor: [
            (self) =>
              latest.current.onPoint(
                self.cursor.left !== undefined && self.cursor.left >= 0 ? (self.cursor.idx ?? null) : null,
              ),
          ],
        },
      },
      dataOf(given),
      element,
    );
    plot.current = chart;
    const observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0) chart.setSize({ width, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [now, shape]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new numbers are what is drawn anew
  useEffect(() => {
    plot.current?.setData(dataOf(latest.current));
  }, [props.times, props.series]);

  return <div ref={host} />;
}
