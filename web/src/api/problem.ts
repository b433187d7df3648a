/** What went wrong, as the service tells it or as the browser saw it. */
import type { HttpProblem } from "./types";

export class Problem extends Error {
  override name = "Problem";
  constructor(
    message: string,
    /** The HTTP status; 0 where there was no answer at all. */
    readonly status: number,
    readonly kind: string,
    readonly hint: string | null = null,
  ) {
    super(message);
  }

  get offline(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 504;
  }
}

function isProblem(value: unknown): value is HttpProblem {
  return typeof value === "object" && value !== null && "detail" in value && typeof value.detail === "string";
}

/** A problem made of a response's body, whatever that is. */
export function problemOf(body: unknown, status: number): Problem {
  if (isProblem(body)) {
    return new Problem(body.detail, status, body.error?.kind ?? "unknown", body.error?.hint ?? null);
  }
  return new Problem(`The service answered with HTTP ${status}.`, status, "unknown");
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError) {
    return new Problem("The service doesn't answer.", 0, "offline");
  }
  return new Problem(error instanceof Error ? error.message : String(error), -1, "page");
}
