import type { Reach, Verdict } from "../../api/operator";
import type { Tone } from "../../components/states";

export const verdicts: Record<Verdict, { sign: string; label: string; tone: Tone; means: string }> = {
  held: {
    sign: "✓",
    label: "Held",
    tone: "good",
    means:
      "The attempt was made and failed in the sandbox as it is used. The same attempt got through where the protection was left off, so it would have been noticed.",
  },
  breached: {
    sign: "✗",
    label: "Breached",
    tone: "bad",
    means:
      "The attempt got through in the sandbox as it is used. Don't run programs that you don't trust here.",
  },
  inconclusive: {
    sign: "?",
    label: "Inconclusive",
    tone: "warn",
    means:
      "Nothing is proven: no answer came, or the attempt failed without any protection, too. It never counts as held.",
  },
  not_applicable: {
    sign: "–",
    label: "Not applicable",
    tone: "quiet",
    means: "The backend has nothing of the kind, or this machine lacks what the control arm needs.",
  },
};

export const reaches: Record<Reach, { label: string; tone: Tone }> = {
  reached: { label: "Got through", tone: "bad" },
  not_reached: { label: "Didn't get through", tone: "good" },
  unproven: { label: "Not known to have tried", tone: "warn" },
};

export const expectations: Record<string, string> = {
  denied: "the attempt is denied",
  hidden: "what it looks for doesn't show",
  inside: "it has an effect inside only",
  bounded: "it is bounded",
  clean: "nothing is left of it afterwards",
  refused: "the input is refused or neutralised",
};

const groups: Record<string, string> = {
  filesystem: "Files",
  processes: "Processes",
  network: "Network",
  kernel: "Kernel",
  privilege: "Privileges",
  resources: "Resources",
  leaks: "Leaks",
  residue: "What is left behind",
  output: "Output",
};

export function groupName(group: string): string {
  return groups[group] ?? group;
}
