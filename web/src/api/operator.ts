/** What the operator's pages ask for and do. The types below are of routes that `openapi.json` doesn't have yet. */
import { queryOptions } from "@tanstack/react-query";
import { ask, askJson, client, need } from "./client";
import { asProblem, type Problem } from "./problem";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Key = Schemas["Key"];
export type CreatedKey = Schemas["CreatedKey"];
export type Project = Schemas["Project"];
export type ProjectQuotas = Schemas["ProjectQuotas"];
export type QueueFlow = Schemas["QueueFlow"];
export type StoreChecked = Schemas["StoreChecked"];
export type StoreForgotten = Schemas["StoreForgotten"];
export type Setting = Schemas["SettingEntry"];
export type PolicyEntry = Schemas["PolicyEntry"];
export type PolicyText = Schemas["PolicyText"];
export type Rule = Schemas["Rule"];
export type ScannedProgram = Schemas["ScannedProgram"];
export type CheckReport = Schemas["CheckReport"];

/** How a part fared in an earlier test. */
export interface PastTest {
  at: string;
  passed: number;
  total: number;
  failed: string[];
}

export type Component = Schemas["Component"] & { history?: PastTest[] };

/** A backend, with what an operator has set about it. */
export type ServiceBackend = Schemas["ServiceBackend"] & {
  enabled?: boolean;
  most_running?: number | null;
  running?: number;
};

export interface Percentiles {
  p50: number;
  p90: number;
  p99: number;
}

/** What happened within a span of time, and how things stood at its end. */
export interface Bucket {
  at: string;
  submitted: number;
  finished: Record<string, number>;
  failed: number;
  cancelled: number;
  latency_ms: Percentiles | null;
  run_ms: Percentiles | null;
  /** Null where nobody looked. */
  queued: number | null;
  running: number | null;
  /** Null for all but admins, like the age. */
  sandboxes: number | null;
  oldest_age_s: number | null;
}

export interface Statistics {
  bucket_seconds: number;
  buckets: Bucket[];
}

export type Verdict = "held" | "breached" | "inconclusive" | "not_applicable";
export type Reach = "reached" | "not_reached" | "unproven";

export interface Arm {
  reach: Reach;
  seen: string;
  took_ms: number;
}

export interface Property {
  id: string;
  group: string;
  statement: string;
  expected: string;
  references: string[];
  verdict: Verdict;
  reason: string;
  protected: Arm | null;
  control: (Arm & { without: string[] }) | null;
  held_by: { alone: string[]; needed: string[]; unknown: string[] } | null;
}

export interface Suite {
  backend: string;
  suite: string;
  attestation: string | null;
  started: string;
  took_ms: number;
  counts: Record<Verdict, number>;
  properties: Property[];
}

export interface AttackReport {
  crucible_version: string;
  node: { kernel: string; user: string };
  policy: string;
  verdict: Verdict;
  suites: Suite[];
}

export interface AttackRun {
  id: string;
  backend: string;
  state: "running" | "finished" | "failed" | "cancelled";
  created_at: string;
  finished_at: string | null;
  done: number;
  total: number;
  breached: number;
  inconclusive: number;
  held: number;
}

export type AttackDetail = AttackRun & { report: AttackReport | null; failure: unknown };

/** Whether a failure only says that the service is from before a route. */
export function isMissing(error: unknown): error is Problem {
  const { status } = asProblem(error);
  return status === 404 || status === 405;
}

const segment = encodeURIComponent;

export const parts = queryOptions({
  queryKey: ["components"],
  queryFn: ({ signal }) =>
    askJson<{ ready: boolean; unwell: string[]; components: Component[] }>("/v1/components?history=true", {
      signal,
    }),
  refetchInterval: 10_000,
});

export const statistics = (minutes: number, live: boolean) =>
  queryOptions({
    queryKey: ["statistics", minutes],
    queryFn: ({ signal }) => askJson<Statistics>(`/v1/statistics?minutes=${minutes}`, { signal }),
    refetchInterval: (query) => (live && !isMissing(query.state.error) ? 4_000 : false),
    retry: (count, error) => !isMissing(error) && count < 2,
  });

export const attacks = queryOptions({
  queryKey: ["attacks"],
  queryFn: async ({ signal }) => (await askJson<{ attacks: AttackRun[] }>("/v1/attacks", { signal })).attacks,
  refetchInterval: (query) => (query.state.data?.some(({ state }) => state === "running") ? 1_000 : 15_000),
  retry: (count, error) => !isMissing(error) && count < 2,
});

export const attack = (id: string) =>
  queryOptions({
    queryKey: ["attack", id],
    queryFn: ({ signal }) => askJson<AttackDetail>(`/v1/attacks/${segment(id)}`, { signal }),
    // Only those that came to their end are asked for, and they never change.
    staleTime: Infinity,
  });

export function startAttack(backend: string, only: string[]): Promise<{ id: string }> {
  return askJson<{ id: string }>("/v1/attacks", {
    method: "POST",
    json: { backend, ...(only.length > 0 ? { only } : {}) },
  });
}

export async function cancelAttack(id: string): Promise<void> {
  await ask(`/v1/attacks/${segment(id)}`, { method: "DELETE" });
}

export async function setBackend(
  name: string,
  wish: { enabled: boolean; most_running: number | null },
): Promise<void> {
  await ask(`/v1/backends/${segment(name)}`, {
    method: "PUT",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  });
}

export const keys = queryOptions({
  queryKey: ["keys"],
  queryFn: ({ signal }) => need(client.GET("/v1/keys", { signal })),
  retry: false,
});

export function createKey(wish: { name: string; role: string; project: string | null }): Promise<CreatedKey> {
  const { project, ...rest } = wish;
  return need(client.POST("/v1/keys", { body: project === null ? rest : { ...rest, project } }));
}

export async function revokeKey(id: string): Promise<void> {
  await ask(`/v1/keys/${segment(id)}`, { method: "DELETE" });
}

export const projects = queryOptions({
  queryKey: ["projects"],
  queryFn: ({ signal }) => need(client.GET("/v1/projects", { signal })),
});

export function setProject(project: string, quotas: ProjectQuotas): Promise<Project> {
  return need(client.PUT("/v1/projects/{project}", { params: { path: { project } }, body: quotas }));
}

export function setFlow(flow: QueueFlow): Promise<unknown> {
  return need(client.PUT("/v1/queue", { body: { flow } }));
}

export const settings = queryOptions({
  queryKey: ["settings"],
  queryFn: async ({ signal }) =>
    (await askJson<{ settings: Setting[] }>("/v1/settings", { signal })).settings,
});

export const policyList = queryOptions({
  queryKey: ["policies", "full"],
  queryFn: async ({ signal }) =>
    (await askJson<{ policies: PolicyEntry[] }>("/v1/policies", { signal })).policies,
});

export const policy = (name: string) =>
  queryOptions({
    queryKey: ["policy", name],
    queryFn: ({ signal }) => askJson<PolicyText>(`/v1/policies/${segment(name)}`, { signal }),
  });

export const rules = queryOptions({
  queryKey: ["rules"],
  queryFn: async ({ signal }) => (await askJson<{ rules: Rule[] }>("/v1/rules", { signal })).rules,
  staleTime: 300_000,
});

/** What a policy would make of a program: one by its name, or one as it is being written. */
export function testPolicy(
  wish: { policy: string } | { toml: string },
  program: { code: string; language: string },
  signal?: AbortSignal,
): Promise<ScannedProgram> {
  return askJson<ScannedProgram>("/v1/policies:test", {
    method: "POST",
    json: { ...wish, ...program },
    ...(signal ? { signal } : {}),
  });
}

export function checkStore(): Promise<StoreChecked> {
  return need(client.POST("/v1/store/check"));
}

export async function backUp(name: string): Promise<void> {
  await ask("/v1/store/backup", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name }),
  });
}

export function forget(wish: {
  older_than: string | null;
  larger_than: string | null;
}): Promise<StoreForgotten> {
  return need(client.POST("/v1/store/gc", { body: wish }));
}

/** How many sandboxes are open, up to a hundred. */
export const sandboxes = queryOptions({
  queryKey: ["sandboxes"],
  queryFn: ({ signal }) => need(client.GET("/v1/sandboxes", { signal, params: { query: { limit: 100 } } })),
});
