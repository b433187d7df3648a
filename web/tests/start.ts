/**
 * Starts services, each with a folder of its own on a free port. They serve the page that was built last (dist/),
 * with the headers of the binary.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Service {
  url: string;
  data: string;
  child: ChildProcess;
  stop(): Promise<void>;
}

export const binary = process.env["CRUCIBLE_BINARY"] ?? "../target/debug/crucible";

/** Starts a service and waits until it says where it listens. */
export async function startService(more: string[] = [], data?: string, port = 0): Promise<Service> {
  const folder = data ?? mkdtempSync(join(tmpdir(), "crucible-page-"));
  const child = spawn(binary, ["serve", "--listen", `127.0.0.1:${port}`, "--data-dir", folder, ...more], {
    stdio: ["ignore", "pipe", "pipe"],
    // The service refuses to start with variables of its own name that it doesn't know.
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CRUCIBLE_"))),
      CRUCIBLE_SERVE_PAGE: join(import.meta.dirname, "../dist"),
    },
  });
  const url = await new Promise<string>((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => reject(new Error(`the service didn't start:\n${said}`)), 60_000);
    const listen = (piece: Buffer): void => {
      said += piece.toString();
      const found = /listening on (http:\/\/[\d.:]+)/.exec(said);
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

export default async function start(): Promise<() => Promise<void>> {
  const service = await startService();
  process.env["SERVICE_URL"] = service.url;
  return async () => {
    await service.stop();
  };
}
