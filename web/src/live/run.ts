/**
 * One evaluation as it goes: its events, and what it writes. What the guest wrote is moved out of the events into
 * rows, so that nothing is kept twice; the view is told at most ten times a second.
 */
import { useEffect, useRef, useState } from "react";
import { fromBase64 } from "../api/document";
import { follow, type StreamState } from "../api/events";
import type { EvaluationEvent, Sample } from "../api/types";
import { OutputRows } from "../guest/rows";

export interface RunEvent {
  number: number;
  kind: string;
  /** Milliseconds since 1970. */
  at: number;
  data: Record<string, unknown>;
}

const LAST = new Set(["finished", "failed", "cancelled", "dead"]);
const SLICE = 100_000;
const TELL_MS = 100;
/** More than this isn't kept for the view in the order of writing; each stream by itself has it. */
const MOST_BYTES = 64 * 1024 * 1024;

const encoder = new TextEncoder();

export class Run {
  readonly events: RunEvent[] = [];
  readonly both = new OutputRows();
  readonly stdout = new OutputRows();
  readonly stderr = new OutputRows();
  readonly samples: Sample[] = [];
  over = false;
  constructor(
    /** Whether the two streams are kept apart, too: not where the outcome has them already. */
    readonly separate = true,
  ) {}
  /** Whether output was left out of `both`. */
  full = false;
  #startedAt: number | null = null;

  take(events: EvaluationEvent[]): void {
    for (const event of events) {
      const at = Date.parse(event.at);
      if (event.kind === "command_started") this.#startedAt = at;
      if (event.kind === "output_produced") {
        this.#output(event, at);
        continue;
      }
      if (event.kind === "usage_sampled") {
        this.samples.push({ at_ms: at - (this.#startedAt ?? at), cpu_ms: 0, ...event.data } as Sample);
        continue;
      }
      this.events.push({ number: event.number, kind: event.kind, at, data: event.data });
      if (LAST.has(event.kind)) this.over = true;
    }
    if (this.over) {
      for (const rows of [this.both, this.stdout, this.stderr]) rows.end();
    }
  }

  #output(event: EvaluationEvent, at: number): void {
    const { stream, text, base64 } = event.data as { stream?: string; text?: string; base64?: string };
    const name = stream === "stderr" ? "stderr" : "stdout";
    const bytes = base64 === undefined ? encoder.encode(text ?? "") : fromBase64(base64);
    if (this.both.length + bytes.length > MOST_BYTES) this.full = true;
    else this.both.append(bytes, name);
    if (this.separate) this[name].append(bytes, name);
    this.events.push({
      number: event.number,
      kind: event.kind,
      at,
      data: { stream: name, bytes: bytes.length, start: (text ?? "").slice(0, 80) },
    });
  }

  /** Does a piece of the work that is due; gives whether there is more. */
  work(): boolean {
    let more = false;
    for (const rows of [this.both, this.stdout, this.stderr]) more = rows.index(SLICE) || more;
    return more;
  }
}

export interface Following {
  run: Run;
  version: number;
  stream: StreamState;
}

/** Follows an evaluation; `null` follows nothing. */
export function useRun(id: string | null, onOver?: () => void, separate = true): Following {
  const [following, setFollowing] = useState<Following>(() => ({
    run: new Run(),
    version: 0,
    stream: "connecting",
  }));
  const over = useRef(onOver);
  over.current = onOver;
  const apart = useRef(separate);
  apart.current = separate;

  useEffect(() => {
    const run = new Run(apart.current);
    let stream: StreamState = "connecting";
    let timer: ReturnType<typeof setTimeout> | undefined;
    let version = 0;
    let told = false;
    setFollowing({ run, version, stream });
    if (id === null) return;
    const tell = (): void => {
      timer = undefined;
      const more = run.work();
      version++;
      setFollowing({ run, version, stream });
      if (more) timer = setTimeout(tell);
    };
    const stop = follow({
      path: `/v1/evaluations/${encodeURIComponent(id)}/events`,
      onEvents: (events) => {
        run.take(events);
        timer ??= setTimeout(tell, TELL_MS);
        if (run.over && !told) {
          told = true;
          over.current?.();
        }
      },
      isLast: (event) => LAST.has(event.kind),
      onState: (now) => {
        stream = now;
        timer ??= setTimeout(tell, 0);
      },
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [id]);

  return following;
}

/** Rows of bytes that are all there already, made in pieces. */
export function useRows(bytes: Uint8Array | undefined): { rows: OutputRows; version: number } {
  const [made, setMade] = useState(() => ({ rows: new OutputRows(), version: 0 }));
  useEffect(() => {
    const rows = new OutputRows();
    setMade({ rows, version: 0 });
    if (!bytes || bytes.length === 0) return;
    let version = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    rows.append(bytes);
    rows.end();
    const work = (): void => {
      const more = rows.index(SLICE);
      version++;
      setMade({ rows, version });
      if (more) timer = setTimeout(work);
    };
    work();
    return () => clearTimeout(timer);
  }, [bytes]);
  return made;
}
