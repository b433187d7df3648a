import { type KeyboardEvent, useRef } from "react";
import { Link } from "wouter";
import type { EvaluationSummary } from "../../api/types";
import { Checkbox } from "../../components/controls";
import { ago, milliseconds, moment, shortId } from "../../components/format";
import { Badge } from "../../components/states";
import { standing, validity } from "../../components/words";

function duration(row: EvaluationSummary): string {
  if (row.wall_ms !== null && row.wall_ms !== undefined) return milliseconds(row.wall_ms);
  if (!row.started_at || !row.finished_at) return "–";
  return milliseconds(new Date(row.finished_at).getTime() - new Date(row.started_at).getTime());
}

/** The table. Arrow keys (or j and k) go from row to row, Enter opens, x selects. */
export function Rows(props: {
  rows: EvaluationSummary[];
  chosen: string[];
  onChoose: (id: string) => void;
  onOpen: (id: string) => void;
}) {
  const body = useRef<HTMLTableSectionElement>(null);

  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const links = [...(body.current?.querySelectorAll<HTMLElement>("a.row-link") ?? [])];
    const at = links.findIndex((link) => link.closest("tr")?.contains(document.activeElement));
    const step =
      event.key === "ArrowDown" || event.key === "j"
        ? 1
        : event.key === "ArrowUp" || event.key === "k"
          ? -1
          : 0;
    if (step !== 0) {
      event.preventDefault();
      links[Math.min(Math.max(at + step, 0), links.length - 1)]?.focus();
    } else if (event.key === "x") {
      const row = props.rows[at];
      if (row) props.onChoose(row.id);
    }
  };

  return (
    <div className="scroll-x">
      <table className="table rows">
        <thead>
          <tr>
            <th scope="col">
              <span className="unseen">Select</span>
            </th>
            <th scope="col">How it stands</th>
            <th scope="col">Evaluation</th>
            <th scope="col" className="middling">
              Language
            </th>
            <th scope="col" className="middling">
              Backend
            </th>
            <th scope="col" className="wide">
              Labels
            </th>
            <th scope="col" className="wide">
              Result
            </th>
            <th scope="col" className="right took">
              Took
            </th>
            <th scope="col" className="right">
              Asked for
            </th>
          </tr>
        </thead>
        <tbody ref={body} onKeyDown={onKeyDown}>
          {props.rows.map((row) => {
            const stands = standing(row.state, row.status);
            const valid = validity(row.validity);
            return (
              <tr key={row.id} data-chosen={props.chosen.includes(row.id) || undefined}>
                <td className="pick">
                  <Checkbox
                    aria-label={`Select ${shortId(row.id)} to compare`}
                    isSelected={props.chosen.includes(row.id)}
                    onChange={() => props.onChoose(row.id)}
                  />
                </td>
                <td>
                  <Badge tone={stands.tone}>{stands.label}</Badge>
                </td>
                <td>
                  <Link href={`/evaluations/${row.id}`} className="row-link mono" title={row.id}>
                    {shortId(row.id)}
                  </Link>
                </td>
                <td className="middling">{row.language ?? <span className="soft">–</span>}</td>
                <td className="middling">{row.backend ?? <span className="soft">–</span>}</td>
                <td className="wide">
                  <span className="labels">
                    {Object.entries(row.labels)
                      .slice(0, 4)
                      .map(([name, value]) => (
                        <span key={name} className="chip" title={`${name}=${value}`}>
                          {name}={value}
                        </span>
                      ))}
                  </span>
                </td>
                <td className="wide">
                  {valid ? (
                    <span className={valid.tone === "good" ? "soft" : "not-valid"}>{valid.label}</span>
                  ) : (
                    <span className="soft">–</span>
                  )}
                </td>
                <td className="right took">{duration(row)}</td>
                <td className="right" title={row.created_at}>
                  <span className="soft">{ago(row.created_at)}</span>
                  <span className="unseen"> at {moment(row.created_at)}</span>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
