/**
 * The key that this tab asks with. It is kept in the tab's session storage: gone when the tab is closed, and
 * never sent but in the `Authorization` header.
 */
import { makeStore } from "./store";

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
