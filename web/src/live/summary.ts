/** An evaluation in sentences: what a newcomer has to see first. */
import type { Evaluation } from "../api/types";
import { milliseconds } from "../components/format";
import type { Tone } from "../components/states";
import { isolationName, stoppedBy, stopperName } from "../components/words";

export interface Fact {
  tone: Tone;
  title: string;
  words: string;
}

const limitNames: Record<string, string> = {
  output: "output",
  disk: "disk space",
  pids: "processes",
  cpu_time: "processor time",
  memory: "memory",
  timeout: "time",
};

export function happened(evaluation: Evaluation): Fact {
  const { outcome, state } = evaluation;
  switch (state) {
    case "queued":
      return { tone: "quiet", title: "Waiting", words: "It waits for its turn." };
    case "held":
      return {
        tone: "held",
        title: "Held",
        words: "Its policy lets it run only after a person has approved it.",
      };
    case "running":
      return { tone: "live", title: "Running", words: "It runs at this moment." };
    case "cancelled":
      return {
        tone: "quiet",
        title: "Cancelled",
        words: evaluation.started_at ? "Somebody ended it." : "Somebody called it off before it ran.",
      };
    case "failed":
    case "dead":
      return {
        tone: "bad",
        title: state === "dead" ? "Given up" : "Couldn't be run",
        words: evaluation.failure?.message ?? "Crucible couldn't run it.",
      };
  }
  if (!outcome) return { tone: "quiet", title: "Finished", words: "There is no outcome." };
  const took = milliseconds(outcome.usage.wall_ms);
  switch (outcome.status) {
    case "exited":
      return outcome.exit_code === 0
        ? { tone: "good", title: "Ended by itself", words: `It ran to its end in ${took}.` }
        : {
            tone: "warn",
            title: `Ended with code ${outcome.exit_code ?? "?"}`,
            words: `It ended by itself after ${took} and said that something went wrong.`,
          };
    case "signaled":
      return {
        tone: "bad",
        title: "Crashed",
        words: `Signal ${outcome.signal ?? "?"} ended it after ${took}.`,
      };
    case "timed_out":
      return {
        tone: "warn",
        title: "Time ran out",
        words: `It was ended after ${took}, when its time was over.`,
      };
    case "out_of_memory":
      return {
        tone: "warn",
        title: "Out of memory",
        words: `It wanted more memory than it may have, after ${took}.`,
      };
    case "limit_exceeded":
      return {
        tone: "warn",
        title: "Limit reached",
        words: `It reached its limit of ${limitNames[outcome.limit ?? ""] ?? outcome.limit ?? "something"} after ${took}.`,
      };
    case "denied":
      return { tone: "held", title: "Not let in", words: "Its policy turned it away before it ran." };
    default:
      return { tone: "quiet", title: "Cancelled", words: "Somebody ended it." };
  }
}

export function tried(evaluation: Evaluation): Fact {
  const behavior = evaluation.outcome?.behavior ?? [];
  const first = behavior[0];
  if (!first) {
    const findings = evaluation.findings?.length ?? 0;
    if (evaluation.outcome && evaluation.outcome.status !== "denied") {
      return {
        tone: "good",
        title: "Nothing of note",
        words: "Nothing but what honest programs do was seen.",
      };
    }
    return findings > 0
      ? {
          tone: "warn",
          title: `${findings} ${findings === 1 ? "finding" : "findings"}`,
          words: "It hasn't run; the scanner says what it looks like it would do.",
        }
      : { tone: "quiet", title: "Not known yet", words: "It hasn't run to its end." };
  }
  const more = behavior.length - 1;
  return {
    tone: "warn",
    title: `${behavior.length} ${behavior.length === 1 ? "thing" : "things"}`,
    words: `${first.message ?? `${first.kind} ${first.name}`}${more > 0 ? `, and ${more} more` : ""}`,
  };
}

export function stopped(evaluation: Evaluation): Fact {
  const { outcome, state } = evaluation;
  if (state === "held")
    return { tone: "held", title: "The policy", words: "It waits for a person's decision." };
  if (state === "cancelled" && !outcome)
    return { tone: "quiet", title: "A person", words: "It was cancelled." };
  if (!outcome) return { tone: "quiet", title: "Nothing yet", words: "It hasn't run to its end." };
  if (outcome.status === "denied") {
    return {
      tone: "held",
      title: "The policy",
      words: outcome.admission?.reasons[0]?.message ?? "It wasn't let in.",
    };
  }
  const layers = new Set<string>();
  for (const deed of outcome.behavior) {
    const layer = stoppedBy(deed.kind, deed.name);
    if (layer) layers.add(layer);
  }
  if (outcome.status === "timed_out") layers.add("host_clock");
  if (outcome.status === "out_of_memory") layers.add("cgroup_memory");
  if (layers.size === 0) return { tone: "good", title: "Nothing", words: "Nothing had to stop it." };
  const names = [...layers].map(stopperName);
  return {
    tone: "good",
    title: names[0] ?? "",
    words: names.length > 1 ? `and ${names.slice(1).join(", ")}` : "It held, and the program got no further.",
  };
}

export function valid(evaluation: Evaluation): Fact {
  const reasons = evaluation.outcome?.validity_reasons ?? [];
  switch (evaluation.validity) {
    case "valid":
      return { tone: "good", title: "Valid", words: "The result says something about the program." };
    case "infrastructure_failure":
      return {
        tone: "bad",
        title: "Not valid",
        words: reasons[0] ?? "Crucible failed, so this says nothing about the program.",
      };
    case "sabotage_suspected":
      return { tone: "bad", title: "Sabotage suspected", words: reasons[0] ?? "Don't trust this result." };
    default:
      return { tone: "quiet", title: "No result", words: "There is no result that could be valid." };
  }
}

export function evidence(evaluation: Evaluation): Fact {
  const proof = evaluation.outcome?.evidence;
  if (!proof) return { tone: "quiet", title: "None yet", words: "It comes with the outcome." };
  const layers = Object.values(proof.layers);
  const active = layers.filter((layer) => layer.active).length;
  if (active === 0) {
    return proof.isolation === "none"
      ? { tone: "bad", title: "No isolation", words: "Nothing stood between the program and the machine." }
      : { tone: "quiet", title: "None", words: "No sandbox was made." };
  }
  return {
    tone: proof.attestation ? "good" : "quiet",
    title: `${active} layers`,
    words: `${proof.attestation ? "Attested" : "Not attested"}; ${evaluation.outcome?.backend}, ${isolationName(proof.isolation)}`,
  };
}
