/**
 * The key that this tab asks with. It is kept in the tab's session storage: gone when the tab is closed, and
 * never sent but in the `Authorization` header.
 */
import { asProblem, problemOf } from "./problem";
import { makeStore } from "./store";
import type { Me } from "./types";

const NAME = "crucible.key";

function stored(): string | null {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    // Storage can be forbidden; the key then lives as long as the page.
    return null;
  }
}

export const key = makeStore<string | null>(stored());

/** Set when the service has refused the key that was sent, or that none was. */
export const keyRefused = makeStore(false);

/** Asks who a key is, without keeping it. */
export async function tryKey(secret: string): Promise<Me> {
  let response: Response;
  try {
    response = await fetch("/v1/me", { headers: { Authorization: `Bearer ${secret}` }, cache: "no-store" });
  } catch (error) {
    throw asProblem(error);
  }
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw problemOf(body, response.status);
  return body as Me;
}

export function signIn(secret: string): void {
  try {
    sessionStorage.setItem(NAME, secret);
  } catch {
    // As above.
  }
  keyRefused.set(false);
  key.set(secret);
}

export function signOut(): void {
  try {
    sessionStorage.removeItem(NAME);
  } catch {
    // As above.
  }
  key.set(null);
}

export function authorization(): Record<string, string> {
  const secret = key.get();
  return secret === null ? {} : { Authorization: `Bearer ${secret}` };
}
