/** Compares openapi.json with what the binary serves; with --write, takes it over. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const kept = join(import.meta.dirname, "../openapi.json");
const binary = process.env.CRUCIBLE_BINARY ?? join(import.meta.dirname, "../../target/debug/crucible");
const data = mkdtempSync(join(tmpdir(), "crucible-openapi-"));
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CRUCIBLE_")));
const service = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--data-dir", data], { env });
try {
  const url = await new Promise((resolve, reject) => {
    let said = "";
    const hear = (piece) => {
      said += piece;
      const found = /listening on (http:\/\/[\d.:]+)/.exec(said);
      if (found) resolve(found[1]);
    };
    service.stdout.on("data", hear);
    service.stderr.on("data", hear);
    service.once("error", reject);
    service.once("exit", () => reject(new Error(said)));
  });
  const document = await (await fetch(`${url}/openapi.json`)).json();
  const now = `${JSON.stringify(document, null, 1)}\n`;
  if (process.argv.includes("--write")) {
    writeFileSync(kept, now);
  } else if (readFileSync(kept, "utf8") !== now) {
    console.error("openapi.json isn't what the binary serves: npm run openapi -- --write");
    process.exitCode = 1;
  }
} finally {
  const ended = new Promise((resolve) => service.once("exit", resolve));
  service.kill("SIGTERM");
  await ended;
  rmSync(data, { recursive: true, force: true });
}
