/** What is in the playground's form, and the request that it stands for. */
import { toBase64 } from "../../api/document";
import type { SubmitEvaluation } from "../../api/types";

export interface DraftFile {
  path: string;
  content?: string;
  content_base64?: string;
  executable?: boolean;
}

export interface Draft {
  code: string;
  language: string;
  backend: string;
  policy: string;
  stdin: string;
  limits: Record<string, string>;
  files: DraftFile[];
  collect: string;
  /** Fields that the form doesn't show but keeps. */
  rest: SubmitEvaluation;
}

export const limitNames = [
  { name: "timeout", label: "Time", usual: "10s" },
  { name: "memory", label: "Memory", usual: "256MiB" },
  { name: "pids", label: "Processes", usual: "64" },
  { name: "cpu_time", label: "Processor time", usual: "10s" },
  { name: "disk", label: "Disk", usual: "64MiB" },
  { name: "output", label: "Output", usual: "1MiB" },
] as const;

/** What a service says about a specification that named no limits; not worth showing as if somebody had chosen it. */
const usual: Record<string, string> = {
  ...Object.fromEntries(limitNames.map((limit) => [limit.name, limit.usual])),
  cpus: "1",
  file_size: "64MiB",
  inodes: "16384",
  open_files: "256",
  stack: "8MiB",
};

export function toDraft(specification: SubmitEvaluation): Draft {
  const { code, language, backend, policy, stdin, limits, files, collect, ...rest } = specification;
  return {
    code: code ?? "",
    language: language ?? "python",
    backend: backend ?? "auto",
    policy: policy ?? "default",
    stdin: stdin ?? "",
    limits: Object.fromEntries(
      Object.entries(limits ?? {})
        .map(([name, value]) => [name, String(value)] as const)
        .filter(([name, value]) => usual[name] !== value),
    ),
    files: (files ?? []).map((file) => ({
      path: file.path ?? "",
      ...(file.content != null ? { content: file.content } : {}),
      ...(file.content_base64 != null ? { content_base64: file.content_base64 } : {}),
      ...(file.executable ? { executable: true } : {}),
    })),
    collect: (collect ?? []).join("\n"),
    rest,
  };
}

export function toSpecification(draft: Draft): SubmitEvaluation {
  const limits = Object.fromEntries(
    Object.entries(draft.limits)
      .map(([name, value]) => [name, value.trim()] as const)
      .filter(([, value]) => value !== "")
      .map(([name, value]) => [name, /^\d+$/.test(value) ? Number(value) : value]),
  );
  const collect = draft.collect
    .split("\n")
    .map((path) => path.trim())
    .filter(Boolean);
  return {
    ...draft.rest,
    code: draft.code,
    language: draft.language,
    ...(draft.backend === "auto" ? {} : { backend: draft.backend }),
    ...(draft.policy === "default" ? {} : { policy: draft.policy }),
    ...(draft.stdin === "" ? {} : { stdin: draft.stdin }),
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
    ...(draft.files.length > 0 ? { files: draft.files } : {}),
    ...(collect.length > 0 ? { collect } : {}),
  };
}

/** A file of the reader's own machine, as text where it is text. */
export async function fromUpload(file: File): Promise<DraftFile> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  try {
    return { path: file.name, content: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return { path: file.name, content_base64: toBase64(bytes) };
  }
}
