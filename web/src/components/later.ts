/** Pieces of the page that are loaded when they are wanted. */
import { type ComponentType, lazy } from "react";
import { Problem } from "../api/problem";

/** How long until a piece is asked for again, from one time to the next: a service that starts anew is back within these. */
const WAITS_MS = [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000];

/** Asks for a piece until it has come, because React keeps a failure for as long as the page lives. */
export async function patiently<T>(load: () => Promise<T>, waits = WAITS_MS): Promise<T> {
  for (const wait of waits) {
    try {
      return await load();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  try {
    return await load();
  } catch {
    throw new Problem(
      "A part of this page can't be loaded.",
      -1,
      "page",
      "The service is away, or has another version since this page was opened. Load the page again.",
    );
  }
}

/** A component that is loaded when it is wanted, and waits for a service that is away. */
// biome-ignore lint/suspicious/noExplicitAny: as React's own type has it
export function later<T extends ComponentType<any>>(load: () => Promise<{ default: T }>) {
  return lazy(() => patiently(load));
}
