/**
 * Live events by `fetch`, because the browser's own `EventSource` can't send the key. A stream that is cut goes on
 * from the last event that came; it waits longer from try to try. While the tab is hidden the connection is given
 * back, because a browser has only six of them for a whole service.
 */
import { useEffect, useRef, useState } from "react";
import { ask } from "./client";
import { asProblem } from "./problem";
import { EventReader } from "./sse";
import type { EvaluationEvent } from "./types";

export type StreamState = "connecting" | "live" | "offline" | "ended" | "refused";

export interface StreamSettings {
  path: string;
  /** Called with what came in one go, in order. */
  onEvents: (events: EvaluationEvent[]) => void;
  onState?: (state: StreamState) => void;
  /** Whether nothing comes after this one. */
  isLast?: (event: EvaluationEvent) => boolean;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const HIDDEN_MS = 20_000;
const PIECE = 65_536;

/** Follows a stream until the returned function is called. */
export function follow(settings: StreamSettings): () => void {
  let over = false;
  let lastId: string | null = null;
  let wait = FIRST_WAIT_MS;
  let abort = new AbortController();
  let wake: (() => void) | null = null;
  let hidden: ReturnType<typeof setTimeout> | undefined;
  let asleep = false;

  const state = (now: StreamState): void => {
    if (!over) settings.onState?.(now);
  };

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      function done(): void {
        clearTimeout(timer);
        wake = null;
        resolve();
      }
      wake = done;
    });

  /** Gives whether the last event has come. */
  const once = async (): Promise<boolean> => {
    const response = await ask(settings.path, {
      headers: {
        Accept: "text/event-stream",
        ...(lastId === null ? {} : { "Last-Event-ID": lastId }),
      },
      cache: "no-store",
      signal: abort.signal,
    });
    state("live");
    wait = FIRST_WAIT_MS;
    const body = response.body;
    if (!body) return false;
    const pieces = body.getReader();
    const text = new TextDecoder();
    const reader = new EventReader();
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) return false;
      let last = false;
      // A large piece is read in parts, with the browser let in between, so that no frame waits for all of it.
      for (let from = 0; from < value.length; from += PIECE) {
        if (from > 0) await new Promise((resolve) => setTimeout(resolve));
        const events: EvaluationEvent[] = [];
        for (const told of reader.take(text.decode(value.subarray(from, from + PIECE), { stream: true }))) {
          let event: EvaluationEvent;
          try {
            event = JSON.parse(told.data) as EvaluationEvent;
          } catch {
            continue;
          }
          if (told.id !== null) lastId = told.id;
          events.push(event);
          last ||= settings.isLast?.(event) ?? false;
        }
        if (over) return true;
        if (events.length > 0) settings.onEvents(events);
      }
      if (reader.retry !== null) wait = Math.min(Math.max(reader.retry, FIRST_WAIT_MS), LONGEST_WAIT_MS);
      if (last) {
        void pieces.cancel();
        return true;
      }
    }
  };

  const run = async (): Promise<void> => {
    state("connecting");
    while (!over) {
      try {
        if (await once()) {
          state("ended");
          return;
        }
      } catch (error) {
        if (over) return;
        const problem = asProblem(error);
        if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) {
          state("refused");
          return;
        }
      }
      if (over) return;
      if (asleep) {
        await pause(2_147_483_647);
        abort = new AbortController();
        state("connecting");
        continue;
      }
      state("offline");
      await pause(wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  };

  const onVisibility = (): void => {
    clearTimeout(hidden);
    if (document.hidden) {
      hidden = setTimeout(() => {
        asleep = true;
        abort.abort();
      }, HIDDEN_MS);
    } else if (asleep) {
      asleep = false;
      wake?.();
    }
  };
  const onOnline = (): void => {
    if (!asleep) wake?.();
  };
  document.addEventListener("visibilitychange", onVisibility);
  window.addEventListener("online", onOnline);
  void run();

  return () => {
    over = true;
    clearTimeout(hidden);
    document.removeEventListener("visibilitychange", onVisibility);
    window.removeEventListener("online", onOnline);
    abort.abort();
    wake?.();
  };
}

/** Follows a stream while a component is there; `null` follows nothing. */
export function useEvents(
  path: string | null,
  onEvents: (events: EvaluationEvent[]) => void,
  isLast?: (event: EvaluationEvent) => boolean,
): StreamState {
  const [state, setState] = useState<StreamState>("connecting");
  const latest = useRef({ onEvents, isLast });
  latest.current = { onEvents, isLast };
  useEffect(() => {
    if (path === null) return;
    setState("connecting");
    return follow({
      path,
      onEvents: (events) => latest.current.onEvents(events),
      isLast: (event) => latest.current.isLast?.(event) ?? false,
      onState: setState,
    });
  }, [path]);
  return state;
}
