import { memo } from "react";
import { classesOf } from "./ansi";
import { inert } from "./inert";
import type { OutputRows, Row } from "./rows";
import { VirtualRows } from "./VirtualRows";
import "./guest.css";

const ROW = 20;

const OneRow = memo(function OneRow({ row, digits }: { row: Row; digits: number }) {
  return (
    <div className={`guest-row ${row.stream}`} dir="ltr">
      <span className="guest-line" aria-hidden="true">
        {(row.line === null ? "\u21b3" : String(row.line)).padStart(digits, "\u00a0")}
      </span>
      <span className="guest-text">
        {row.spans.map((span, at) => {
          const pieces = inert(span.text).map((piece, number) =>
            piece.mark ? (
              <span key={number} className="mark">
                {piece.text}
              </span>
            ) : (
              piece.text
            ),
          );
          const classes = classesOf(span.style);
          return classes === "" ? (
            <span key={at}>{pieces}</span>
          ) : (
            <span key={at} className={classes}>
              {pieces}
            </span>
          );
        })}
      </span>
    </div>
  );
});

/** What a guest wrote. `version` changes when rows were added. */
export function OutputView(props: { rows: OutputRows; version: number; label: string; follow?: boolean }) {
  const { rows } = props;
  const digits = Math.max(2, String(rows.lines).length);
  return (
    <VirtualRows
      className="guest"
      count={rows.count}
      rowHeight={ROW}
      label={props.label}
      followEnd={props.follow ?? false}
    >
      {(from, to) =>
        rows.read(from, to).map((row, at) => <OneRow key={from + at} row={row} digits={digits} />)
      }
    </VirtualRows>
  );
}
