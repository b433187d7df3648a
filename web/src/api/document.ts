/**
 * Reads an evaluation's document and takes what the guest wrote out of it as bytes. It runs in a worker where the
 * document is large, so that reading 10 MB doesn't hold up the page.
 */
import type { Evaluation } from "./types";

export interface GuestFile {
  path: string;
  size: number;
  bytes: Uint8Array<ArrayBuffer>;
}

export interface ReadEvaluation {
  /** With the streams and the files' contents emptied. */
  evaluation: Evaluation;
  stdout: Uint8Array<ArrayBuffer>;
  stderr: Uint8Array<ArrayBuffer>;
  files: GuestFile[];
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}

function exact(text: string, base64: string | null | undefined): Uint8Array<ArrayBuffer> {
  return base64 ? fromBase64(base64) : new TextEncoder().encode(text);
}

export function readEvaluation(document: ArrayBuffer): ReadEvaluation {
  const evaluation = JSON.parse(new TextDecoder().decode(document)) as Evaluation;
  const outcome = evaluation.outcome;
  if (!outcome) return { evaluation, stdout: new Uint8Array(), stderr: new Uint8Array(), files: [] };
  const stdout = exact(outcome.stdout, outcome.stdout_base64);
  const stderr = exact(outcome.stderr, outcome.stderr_base64);
  const files = outcome.files.map((file) => ({
    path: file.path,
    size: file.size,
    bytes: fromBase64(file.content_base64),
  }));
  outcome.stdout = "";
  outcome.stderr = "";
  outcome.files = [];
  delete outcome.stdout_base64;
  delete outcome.stderr_base64;
  return { evaluation, stdout, stderr, files };
}
