/** What the operator's pages ask for and do. */
import { queryOptions } from "@tanstack/react-query";
import { ask, askJson, client, need } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Key = Schemas["Key"];
export type CreatedKey = Schemas["CreatedKey"];
export type Project = Schemas["Project"];
export type ProjectQuotas = Schemas["ProjectQuotas"];
export type QueueFlow = Schemas["QueueFlow"];
export type StoreChecked = Schemas["StoreChecked"];
export type StoreForgotten = Schemas["StoreForgotten"];
export type CheckReport = Schemas["CheckReport"];

export type Component = Schemas["Component"];
export type ServiceBackend = Schemas["ServiceBackend"];
export type Statistics = Schemas["Statistics"];
export type Bucket = Schemas["StatisticsBucket"];
export type Verdict = Schemas["Verdict"];
export type Reach = Schemas["Reach"];
export type Arm = Schemas["ArmReport"];
export type Property = Schemas["PropertyReport"];
export type Suite = Schemas["SuiteReport"];
export type AttackRun = Schemas["AttackRun"];
export type AttackDetail = Schemas["AttackRunReport"];
export type Setting = Schemas["SettingEntry"];
export type PolicyText = Schemas["PolicyText"];
export type Rule = Schemas["Rule"];
export type ScannedProgram = Schemas["ScannedProgram"];

export const parts = queryOptions({
  queryKey: ["components"],
  queryFn: ({ signal }) =>
    need(client.GET("/v1/components", { signal, params: { query: { history: true } } })),
  refetchInterval: 10_000,
});

export const statistics = (minutes: number, live: boolean) =>
  queryOptions({
    queryKey: ["statistics", minutes],
    queryFn: ({ signal }) => need(client.GET("/v1/statistics", { signal, params: { query: { minutes } } })),
    refetchInterval: live ? 4_000 : false,
  });

export const attacks = queryOptions({
  queryKey: ["attacks"],
  queryFn: async ({ signal }) => (await need(client.GET("/v1/attacks", { signal }))).attacks,
  refetchInterval: (query) => (query.state.data?.some(({ state }) => state === "running") ? 1_000 : 15_000),
});

export const attack = (id: string) =>
  queryOptions({
    queryKey: ["attack", id],
    queryFn: ({ signal }) => need(client.GET("/v1/attacks/{id}", { signal, params: { path: { id } } })),
    // Only those that came to their end are asked for, and they never change.
    staleTime: Infinity,
  });

export function startAttack(backend: string, only: string[]): Promise<{ id: string }> {
  return need(client.POST("/v1/attacks", { body: { backend, only } }));
}

export async function cancelAttack(id: string): Promise<void> {
  await ask(`/v1/attacks/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export function setBackend(name: string, wish: Schemas["SetBackend"]): Promise<ServiceBackend> {
  return need(client.PUT("/v1/backends/{name}", { params: { path: { name } }, body: wish }));
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
  await ask(`/v1/keys/${encodeURIComponent(id)}`, { method: "DELETE" });
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
  queryFn: async ({ signal }) => (await need(client.GET("/v1/settings", { signal }))).settings,
});

export const policy = (name: string) =>
  queryOptions({
    queryKey: ["policy", name],
    queryFn: ({ signal }) => need(client.GET("/v1/policies/{name}", { signal, params: { path: { name } } })),
  });

export const rules = queryOptions({
  queryKey: ["rules"],
  queryFn: async ({ signal }) => (await need(client.GET("/v1/rules", { signal }))).rules,
  staleTime: 300_000,
});

/** What a policy would make of a program: one by its name, or one as it is being written. */
export function testPolicy(
  wish: { policy: string } | { toml: string },
  program: { code: string; language: string },
  signal: AbortSignal,
): Promise<ScannedProgram> {
  return askJson<ScannedProgram>("/v1/policies:test", {
    method: "POST",
    json: { ...wish, ...program },
    signal,
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
