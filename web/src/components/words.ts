/** What states, statuses, layers and behaviour are called on the page. One place, so that a word means one thing. */
import type { EvaluationState } from "../api/types";
import type { Tone } from "./states";

interface Word {
  label: string;
  tone: Tone;
}

const states: Record<EvaluationState, Word> = {
  queued: { label: "Waiting", tone: "quiet" },
  held: { label: "Held for review", tone: "held" },
  running: { label: "Running", tone: "live" },
  finished: { label: "Finished", tone: "good" },
  failed: { label: "Couldn't be run", tone: "bad" },
  cancelled: { label: "Cancelled", tone: "quiet" },
  dead: { label: "Given up", tone: "bad" },
};

const statuses: Record<string, Word> = {
  exited: { label: "Ended by itself", tone: "good" },
  signaled: { label: "Crashed", tone: "bad" },
  timed_out: { label: "Time ran out", tone: "warn" },
  out_of_memory: { label: "Out of memory", tone: "warn" },
  limit_exceeded: { label: "Limit reached", tone: "warn" },
  denied: { label: "Not let in", tone: "held" },
  cancelled: { label: "Cancelled", tone: "quiet" },
};

/** One word for where an evaluation is, or how it ended. */
export function standing(state: EvaluationState, status?: string | null, exitCode?: number | null): Word {
  if (state !== "finished" || !status) return states[state];
  if (status === "exited" && exitCode !== undefined && exitCode !== null && exitCode !== 0) {
    return { label: `Ended with ${exitCode}`, tone: "warn" };
  }
  return statuses[status] ?? { label: status, tone: "quiet" };
}

export function validity(value: string | null | undefined): Word | null {
  switch (value) {
    case "valid":
      return { label: "Valid", tone: "good" };
    case "infrastructure_failure":
      return { label: "Not valid: Crucible failed", tone: "bad" };
    case "sabotage_suspected":
      return { label: "Sabotage suspected", tone: "bad" };
    default:
      return null;
  }
}

export const severityTone: Record<string, Tone> = {
  info: "quiet",
  low: "quiet",
  medium: "warn",
  high: "bad",
  critical: "bad",
};

export const stateChoices = (Object.keys(states) as EvaluationState[]).map((value) => ({
  value,
  label: states[value].label,
}));
export const statusChoices = Object.entries(statuses).map(([value, word]) => ({ value, label: word.label }));

const layers: Record<string, string> = {
  capabilities: "Capabilities taken away",
  cgroup_cpu: "Processor limit (control group)",
  cgroup_memory: "Memory limit (control group)",
  cgroup_namespace: "Control group namespace",
  cgroup_pids: "Process limit (control group)",
  clean_start: "Clean start",
  disk_quota: "Disk quota",
  distinct_uid: "A user id of its own",
  ipc_namespace: "IPC namespace",
  landlock: "Landlock",
  mount_namespace: "Mount namespace",
  network_namespace: "Network namespace",
  no_new_privs: "No new privileges",
  pid_namespace: "Process namespace",
  private_dev: "Private /dev",
  private_proc: "Private /proc",
  private_root: "Private root",
  rlimits: "Resource limits",
  seccomp: "System call filter (seccomp)",
  session_keyring: "Session keyring",
  time_namespace: "Time namespace",
  user_namespace: "User namespace",
  uts_namespace: "Host name namespace",
  web_assembly: "WebAssembly",
};

export function layerName(id: string): string {
  return layers[id] ?? id.replaceAll("_", " ");
}

/** The layer that refuses a kind of behaviour; `null` where it was only seen. */
export function stoppedBy(kind: string, name: string): string | null {
  switch (kind) {
    case "syscall_denied":
      return "seccomp";
    case "connection_refused":
    case "bind_refused":
    case "send_refused":
      return "network_namespace";
    case "limit_reached":
      return (
        {
          memory: "cgroup_memory",
          pids: "cgroup_pids",
          cpus: "cgroup_cpu",
          disk: "disk_quota",
          inodes: "disk_quota",
          open_files: "rlimits",
          file_size: "rlimits",
          stack: "rlimits",
        }[name] ?? "host_clock"
      );
    default:
      return null;
  }
}

export function stopperName(layer: string): string {
  return layer === "host_clock" ? "The host's own watch" : layerName(layer);
}

const eventNames: Record<string, string> = {
  submitted: "Submitted",
  started: "Begun",
  retried: "Tried again",
  put_back: "Put back into the queue",
  held: "Held for review",
  approved: "Approved",
  rejected: "Rejected",
  reviewed: "Reviewed",
  backend_chosen: "Backend chosen",
  screened: "Scanned",
  sandbox_created: "Sandbox made",
  command_started: "Program started",
  output_produced: "Output",
  behavior_seen: "Seen",
  usage_sampled: "Usage",
  limit_reached: "Limit reached",
  command_ended: "Program ended",
  sandbox_destroyed: "Sandbox cleared away",
  finished: "Finished",
  failed: "Couldn't be run",
  cancelled: "Cancelled",
  dead: "Given up",
};

export function eventName(kind: string): string {
  return eventNames[kind] ?? kind.replaceAll("_", " ");
}

const isolation: Record<string, string> = {
  none: "no wall at all",
  shared_kernel: "shares the host's kernel",
  own_kernel: "a kernel of its own",
};

export function isolationName(value: string | undefined): string {
  return value === undefined ? "unknown" : (isolation[value] ?? value);
}
