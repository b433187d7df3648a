/**
 * Starts a service with a folder of its own on a free port, and the built page: the one in the binary, or
 * `vite preview` with the same headers where CRUCIBLE_PAGE=preview asks for it or the binary has another or none.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { preview } from "vite";

export interface Service {
  url: string;
  data: string;
  child: ChildProcess;
  stop(): Promise<void>;
}

export const binary = process.env["CRUCIBLE_BINARY"] ?? "../target/debug/crucible";

/** Starts a service and waits until it says where it listens. */
export async function startService(more: string[] = [], data?: string): Promise<Service> {
  const folder = data ?? mkdtempSync(join(tmpdir(), "crucible-page-"));
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--data-dir", folder, ...more], {
    stdio: ["ignore", "pipe", "pipe"],
    // The service refuses to start with variables of its own name that it doesn't know.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CRUCIBLE_"))),
  });
  const url = await new Promise<string>((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => reject(new Error(`the service didn't start:\n${said}`)), 60_000);
    const listen = (piece: Buffer): void => {
      said += piece.toString();
      const found = /listening on (http:\/\/\S+)/.exec(said);
      if (found?.[1]) {
        clearTimeout(timer);
        resolve(found[1]);
      }
    };
    child.stdout?.on("data", listen);
    child.stderr?.on("data", listen);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the service ended with ${code}:\n${said}`)));
  });
  return {
    url,
    data: folder,
    child,
    stop: () =>
      new Promise((resolve) => {
        child.once("exit", () => {
          if (data === undefined) rmSync(folder, { recursive: true, force: true });
          resolve();
        });
        child.kill("SIGTERM");
      }),
  };
}

/** Where the page is for a service: its own address, or that of a preview before it. */
export async function startPage(service: string): Promise<{ url: string; stop(): Promise<void> }> {
  if (process.env["CRUCIBLE_PAGE"] !== "preview") {
    const answer = await fetch(service, { headers: { accept: "text/html" } });
    const built = readFileSync(join(import.meta.dirname, "../dist/index.html"), "utf8");
    if (answer.ok && (await answer.text()) === built) return { url: service, stop: async () => {} };
  }
  process.env["CRUCIBLE_URL"] = service;
  const server = await preview({ preview: { port: 0, host: "127.0.0.1" }, logLevel: "error" });
  const url = server.resolvedUrls?.local[0]?.replace(/\/$/, "") ?? "";
  return { url, stop: () => server.close() };
}

export default async function start(): Promise<() => Promise<void>> {
  const service = await startService();
  const page = await startPage(service.url);
  process.env["SERVICE_URL"] = service.url;
  process.env["PAGE_URL"] = page.url;
  return async () => {
    await page.stop();
    await service.stop();
  };
}
