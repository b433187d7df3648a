/** A small chart of lines. What it shows is said in words beside it, so it is nothing to a screen reader but its name. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useStore } from "../api/store";
import { milliseconds } from "../components/format";
import { theme } from "../theme/theme";

export interface Line {
  /** The name of a colour in the theme. */
  colour: string;
  y: (number | null)[];
  label?: string;
}

export default function Lines(props: {
  label: string;
  x: number[];
  lines: Line[];
  show: (value: number) => string;
  showX?: (value: number) => string;
  height?: number;
}) {
  const host = useRef<HTMLDivElement>(null);
  const now = useStore(theme);
  const { x, lines, show, showX = milliseconds, height = 110, label } = props;
  const latest = useRef({ x, lines, show, showX });
  latest.current = { x, lines, show, showX };
  const plot = useRef<uPlot | null>(null);
  const colours = lines.map((line) => line.colour).join();

  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme's colours and the number of lines make a new chart
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--text-soft"),
      font: `11px ${colour("--sans")}`,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
    };
    const made = new uPlot(
      {
        width: Math.max(element.clientWidth, 100),
        height,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 } },
        scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(most * 1.1, 1)] } },
        axes: [
          { ...axis, size: 24, space: 70, values: (_, at) => at.map((value) => latest.current.showX(value)) },
          { ...axis, size: 62, space: 34, values: (_, at) => at.map((value) => latest.current.show(value)) },
        ],
        series: [
          {},
          ...latest.current.lines.map((line) => ({
            stroke: colour(line.colour),
            fill: `${colour(line.colour)}22`,
            width: 1.75,
            points: { show: false },
            ...(line.label === undefined ? {} : { label: line.label }),
          })),
        ],
      },
      [latest.current.x, ...latest.current.lines.map((line) => line.y)],
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: Math.max(element.clientWidth, 100), height }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [now, height, colours]);

  useEffect(() => {
    plot.current?.setData([x, ...lines.map((line) => line.y)]);
  }, [x, lines]);

  return (
    <figure className="chart">
      <figcaption>{label}</figcaption>
      <div ref={host} aria-hidden="true" />
    </figure>
  );
}
