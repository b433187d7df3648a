/** Requests. Every call goes through here: the key is added, and every failure becomes a `Problem`. */
import createClient, { type Middleware } from "openapi-fetch";
import { authorization, keyRefused } from "./key";
import { asProblem, Problem, problemOf } from "./problem";
import type { paths } from "./schema";
import { makeStore } from "./store";

/** Whether the last request got an answer. */
export const reachable = makeStore(true);

function seen(status: number): void {
  const answered = status !== 0 && status !== 502 && status !== 504;
  reachable.set(answered);
  if (status === 401) keyRefused.set(true);
}

const middleware: Middleware = {
  onRequest({ request }) {
    for (const [name, value] of Object.entries(authorization())) request.headers.set(name, value);
    return request;
  },
  onResponse({ response }) {
    seen(response.status);
    return undefined;
  },
  onError({ error }) {
    // An aborted request says nothing about the service.
    if (error instanceof DOMException && error.name === "AbortError") return undefined;
    seen(0);
    return asProblem(error);
  },
};

export const client = createClient<paths>({ baseUrl: location.origin });
client.use(middleware);

interface Answer<T> {
  data?: T | undefined;
  error?: unknown;
  response: Response;
}

/** The data of an answer, or the problem thrown. */
export async function need<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (error !== undefined || data === undefined) throw problemOf(error, response.status);
  return data;
}

/** A plain request, for what the OpenAPI document doesn't describe as JSON. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: { ...authorization(), ...init.headers } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    seen(0);
    throw asProblem(error);
  }
  seen(response.status);
  if (!response.ok) {
    const body: unknown = await response.json().catch(() => null);
    throw problemOf(body, response.status);
  }
  return response;
}

/** Asks with a JSON body and reads a JSON answer. */
export async function askJson<T>(path: string, init: RequestInit & { json?: unknown } = {}): Promise<T> {
  const { json, ...rest } = init;
  const response = await ask(path, {
    ...rest,
    ...(json === undefined
      ? {}
      : { body: JSON.stringify(json), headers: { "Content-Type": "application/json" } }),
  });
  return (await response.json()) as T;
}

export { Problem };
