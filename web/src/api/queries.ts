/** What the pages ask for, each with its name in the cache. */
import { QueryClient, queryOptions, useQuery } from "@tanstack/react-query";
import { ask, client, need } from "./client";
import { type ReadEvaluation, readEvaluation } from "./document";
import { asProblem } from "./problem";
import { isFinal, type Me, type Role, type ScannedProgram, type SubmitEvaluation } from "./types";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (count, error) => {
        const { status } = asProblem(error);
        return (status === 0 || status >= 500 || status === 429) && count < 3;
      },
      retryDelay: (count) => Math.min(500 * 2 ** count, 8_000),
    },
  },
});

/** Documents above this size are read in a worker. */
const LARGE = 200_000;

async function read(document: ArrayBuffer): Promise<ReadEvaluation> {
  if (document.byteLength < LARGE) return readEvaluation(document);
  const worker = new Worker(new URL("./document.worker.ts", import.meta.url), { type: "module" });
  try {
    return await new Promise<ReadEvaluation>((resolve, reject) => {
      worker.onmessage = (message: MessageEvent<ReadEvaluation>) => resolve(message.data);
      worker.onerror = () => reject(new Error("The evaluation's document can't be read."));
      worker.postMessage(document, [document]);
    });
  } finally {
    worker.terminate();
  }
}

export const evaluation = (id: string) =>
  queryOptions({
    queryKey: ["evaluation", id],
    queryFn: async ({ signal }) => {
      const response = await ask(`/v1/evaluations/${encodeURIComponent(id)}`, { signal });
      return read(await response.arrayBuffer());
    },
    // What is final never changes.
    staleTime: (query) => (query.state.data && isFinal(query.state.data.evaluation.state) ? Infinity : 0),
    gcTime: 60_000,
    structuralSharing: false,
  });

export const specification = (id: string) =>
  queryOptions({
    queryKey: ["specification", id],
    queryFn: async ({ signal }) => {
      const response = await ask(`/v1/evaluations/${encodeURIComponent(id)}/specification`, { signal });
      return (await response.json()) as SubmitEvaluation;
    },
    staleTime: Infinity,
  });

/** The attestation as it was signed, byte for byte. */
export async function attestation(id: string): Promise<ArrayBuffer> {
  const response = await ask(`/v1/evaluations/${encodeURIComponent(id)}/attestation`);
  return response.arrayBuffer();
}

export interface ListFilter {
  state?: string;
  status?: string;
  backend?: string;
  validity?: string;
  verdict?: string;
  label?: string;
  search?: string;
  order?: "newest" | "oldest";
}

export const evaluations = (filter: ListFilter, cursor: string | null, limit = 50) => {
  const query = { ...filter, limit, ...(cursor === null ? {} : { cursor }) };
  return need(client.GET("/v1/evaluations", { params: { query } }));
};

export const queue = queryOptions({
  queryKey: ["queue"],
  queryFn: ({ signal }) => need(client.GET("/v1/queue", { signal })),
  refetchInterval: 3_000,
});

export const backends = queryOptions({
  queryKey: ["backends"],
  queryFn: ({ signal }) => need(client.GET("/v1/backends", { signal })),
  staleTime: 30_000,
});

export const policies = queryOptions({
  queryKey: ["policies"],
  queryFn: async ({ signal }) => (await need(client.GET("/v1/policies", { signal }))).policies,
  staleTime: 60_000,
});

export const me = queryOptions({
  queryKey: ["me"],
  queryFn: ({ signal }) => need(client.GET("/v1/me", { signal })),
  staleTime: 60_000,
});

export function scan(
  program: { code: string; language: string; policy?: string },
  signal: AbortSignal,
): Promise<ScannedProgram> {
  return need(client.POST("/v1/scan", { body: program, signal }));
}

export function submit(specification: SubmitEvaluation): Promise<{ id: string }> {
  return need(client.POST("/v1/evaluations", { body: specification }));
}

export function cancel(id: string): Promise<unknown> {
  return need(client.DELETE("/v1/evaluations/{id}", { params: { path: { id } } }));
}

export function rerun(id: string, backend?: string): Promise<{ id: string }> {
  return need(
    client.POST("/v1/evaluations/{id}/rerun", {
      params: { path: { id } },
      ...(backend === undefined ? {} : { body: { backend } }),
    }),
  );
}

export function review(id: string, decision: "approved" | "rejected", reason: string): Promise<unknown> {
  return need(
    client.POST("/v1/evaluations/{id}/review", { params: { path: { id } }, body: { decision, reason } }),
  );
}

const RANK: Record<Role, number> = { viewer: 0, submitter: 1, reviewer: 2, admin: 3 };

/** Who asks and what they may do. Until it is known, nothing is offered. */
export function useMe(): { me: Me | undefined; may: (role: Role) => boolean } {
  const { data } = useQuery(me);
  const rank = data === undefined ? -1 : (RANK[data.role as Role] ?? -1);
  return { me: data, may: (role) => rank >= RANK[role] };
}
