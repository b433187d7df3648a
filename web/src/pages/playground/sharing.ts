/**
 * A specification in a link: after the `#`, which browsers don't send to any server. It is read as untrusted: only
 * fields that are known, of the types that they have, and nothing is run before somebody says so.
 */
import { fromBase64, toBase64 } from "../../api/document";
import type { SubmitEvaluation, SubmittedFile } from "../../api/types";

const LONGEST = 100_000;

/** A link's last part, or `null` where the specification is too large for a link. */
export async function toFragment(specification: SubmitEvaluation): Promise<string | null> {
  const json = new TextEncoder().encode(JSON.stringify(specification));
  const packed = new Blob([json]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  const text = toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return text.length > LONGEST ? null : `spec=${text}`;
}

/** The specification of a link; `null` where there is none or it is broken. */
export async function fromFragment(fragment: string): Promise<SubmitEvaluation | null> {
  const found = /^#?spec=([A-Za-z0-9_-]+)$/.exec(fragment);
  if (!found?.[1] || found[1].length > LONGEST) return null;
  try {
    const bytes = fromBase64(found[1].replaceAll("-", "+").replaceAll("_", "/"));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    // A small link can unpack to a lot: what is more than a program needs isn't read to its end.
    const reader = stream.getReader();
    const parts: BlobPart[] = [];
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > 4_000_000) {
        await reader.cancel();
        return null;
      }
      parts.push(value);
    }
    return known(JSON.parse(await new Blob(parts).text()));
  } catch {
    return null;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What the playground can show of a value, and nothing else of it. */
export function known(value: unknown): SubmitEvaluation | null {
  if (!isRecord(value)) return null;
  const spec: SubmitEvaluation = {};
  for (const name of ["code", "language", "backend", "policy", "network", "stdin"] as const) {
    const text = value[name];
    if (typeof text === "string") spec[name] = text;
  }
  if (isRecord(value["limits"])) {
    spec.limits = Object.fromEntries(
      Object.entries(value["limits"]).filter(
        ([, limit]) => typeof limit === "string" || typeof limit === "number",
      ),
    );
  }
  if (Array.isArray(value["files"])) spec.files = value["files"].flatMap(knownFile);
  for (const name of ["collect", "args"] as const) {
    const list = value[name];
    if (Array.isArray(list)) spec[name] = list.filter((one): one is string => typeof one === "string");
  }
  if (isRecord(value["env"])) {
    spec.env = Object.fromEntries(
      Object.entries(value["env"]).filter((pair): pair is [string, string] => typeof pair[1] === "string"),
    );
  }
  return spec;
}

function knownFile(value: unknown): SubmittedFile[] {
  if (!isRecord(value) || typeof value["path"] !== "string") return [];
  const file: SubmittedFile = { path: value["path"] };
  if (typeof value["content"] === "string") file.content = value["content"];
  else if (typeof value["content_base64"] === "string") file.content_base64 = value["content_base64"];
  else return [];
  if (value["executable"] === true) file.executable = true;
  return [file];
}
