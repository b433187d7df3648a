/** Where the time went, and everything that happened, one row each. */
import type { Outcome } from "../../api/types";
import { bytes, milliseconds } from "../../components/format";
import { eventName } from "../../components/words";
import { Inert } from "../../guest/Inert";
import { VirtualRows } from "../../guest/VirtualRows";
import type { Run, RunEvent } from "../../live/run";

const phases = [
  { name: "queue_ms", label: "waiting", className: "phase-queue" },
  { name: "create_ms", label: "making the sandbox", className: "phase-create" },
  { name: "exec_ms", label: "running", className: "phase-exec" },
  { name: "destroy_ms", label: "clearing away", className: "phase-destroy" },
] as const;

export function Phases({ timings }: { timings: Outcome["timings"] }) {
  const total = phases.reduce((sum, phase) => sum + timings[phase.name], 0) || 1;
  return (
    <div className="phases">
      <div className="phase-bar" aria-hidden="true">
        {phases.map((phase) => (
          <span
            key={phase.name}
            className={phase.className}
            style={{ flexGrow: Math.max(timings[phase.name] / total, 0.004) }}
          />
        ))}
      </div>
      <ul className="phase-names">
        {phases.map((phase) => (
          <li key={phase.name} className={phase.className}>
            {phase.label} <strong>{milliseconds(timings[phase.name])}</strong>
          </li>
        ))}
        {timings.scan_ms != null && timings.scan_ms > 0 && (
          <li>
            scanning, beside the rest <strong>{milliseconds(timings.scan_ms)}</strong>
          </li>
        )}
      </ul>
    </div>
  );
}

function text(value: unknown): string {
  return typeof value === "string"
    ? value
    : value === undefined || value === null
      ? ""
      : JSON.stringify(value);
}

function detail({ kind, data }: RunEvent): string {
  switch (kind) {
    case "output_produced":
      return `${text(data["stream"])}, ${bytes(Number(data["bytes"] ?? 0))}: ${text(data["start"]).split("\n")[0] ?? ""}`;
    case "backend_chosen":
      return text(data["backend"]);
    case "screened":
      return `${text(data["findings"])} findings; ${text(data["decision"])}`;
    case "behavior_seen":
      return `${text(data["kind"]).replaceAll("_", " ")}: ${text(data["name"])}`;
    case "limit_reached":
      return text(data["limit"]);
    case "command_ended":
      return text(data["status"]).replaceAll("_", " ");
    case "finished":
      return [text(data["status"]).replaceAll("_", " "), text(data["validity"])].filter(Boolean).join(", ");
    case "failed":
    case "retried":
    case "put_back":
    case "dead": {
      const error = data["error"];
      return typeof error === "object" && error !== null && "message" in error ? text(error.message) : "";
    }
    default:
      return "";
  }
}

const ROW = 28;

export function Timeline({ run, version }: { run: Run; version: number }) {
  const first = run.events[0]?.at ?? 0;
  if (run.events.length === 0) return <p className="soft timeline-none">Nothing yet.</p>;
  return (
    <div data-version={version} className="timeline-frame">
      <VirtualRows className="timeline" count={run.events.length} rowHeight={ROW} label="Events">
        {(from, to) =>
          run.events.slice(from, to).map((event, at) => {
            const before = run.events[from + at - 1]?.at ?? event.at;
            return (
              <div key={event.number} className={`timeline-row kind-${event.kind}`}>
                <span className="timeline-at">{milliseconds(event.at - first)}</span>
                <span className="timeline-step">
                  {event.at - before >= 1 ? `+${milliseconds(event.at - before)}` : ""}
                </span>
                <span className="timeline-name">{eventName(event.kind)}</span>
                <span className="timeline-detail">
                  <Inert text={detail(event)} />
                </span>
              </div>
            );
          })
        }
      </VirtualRows>
    </div>
  );
}
