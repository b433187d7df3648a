import type { EvaluationEvent } from "../../api/types";
import { bytes, milliseconds } from "../../components/format";
import type { Tone } from "../../components/states";

export function kindTone(kind: string): Tone {
  switch (kind) {
    case "finished":
    case "approved":
      return "good";
    case "failed":
    case "dead":
    case "rejected":
      return "bad";
    case "limit_reached":
    case "behavior_seen":
    case "retried":
    case "put_back":
      return "warn";
    case "held":
      return "held";
    case "started":
    case "command_started":
      return "live";
    default:
      return "quiet";
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

/** What an event tells beyond its kind, in a line. Guests' words may be in it: shown by `Inert` alone. */
export function inWords(event: EvaluationEvent): string {
  const { kind, data } = event;
  switch (kind) {
    case "output_produced":
      return `${text(data["stream"])}: ${text(data["text"]).slice(0, 200).trimEnd()}`;
    case "behavior_seen":
      return `${text(data["kind"]).replaceAll("_", " ")} ${text(data["name"])}`.trim();
    case "finished": {
      const usage = data["usage"] as { wall_ms?: number } | undefined;
      const code = data["exit_code"];
      const took = usage?.wall_ms === undefined ? "" : ` in ${milliseconds(usage.wall_ms)}`;
      const with_ = typeof code === "number" && code !== 0 ? ` with ${code}` : "";
      return `${text(data["status"]).replaceAll("_", " ")}${with_} on ${text(data["backend"])}${took}`;
    }
    case "usage_sampled": {
      const { cpu_ms, memory_bytes, processes } = data;
      return [
        typeof cpu_ms === "number" ? `${milliseconds(cpu_ms)} of processor` : "",
        typeof memory_bytes === "number" ? bytes(memory_bytes) : "",
        typeof processes === "number" ? `${processes} ${processes === 1 ? "process" : "processes"}` : "",
      ]
        .filter((piece) => piece !== "")
        .join(", ");
    }
    case "screened":
      return `${text(data["findings"])} findings: ${text(data["decision"])}`;
    default:
      return Object.values(data)
        .map((value) =>
          typeof value === "object" && value !== null
            ? text((value as Record<string, unknown>)["message"])
            : text(value),
        )
        .filter((value) => value !== "")
        .join(" · ")
        .slice(0, 300);
  }
}
