import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin, ProxyOptions } from "vite";
import { defineConfig } from "vitest/config";
import { contentSecurityPolicy } from "./content-security-policy.ts";

/** The service that `npm run dev` and `vite preview` pass requests on to. */
const service = process.env["CRUCIBLE_URL"] ?? "http://127.0.0.1:8080";
// The service answers only to names of this machine and to no other site's page: it has to see itself asked.
const proxy = Object.fromEntries(
  ["/v1", "/openapi.json", "/docs", "/healthz", "/readyz", "/metrics"].map((path) => [
    path,
    {
      target: service,
      changeOrigin: true,
      headers: { origin: service },
      // The head of an answer goes on at once, so that a stream of events is known to be there before its first event.
      configure: ((between) => {
        between.on("proxyRes", (_answer, _request, response) => {
          setImmediate(() => response.flushHeaders());
        });
      }) satisfies NonNullable<ProxyOptions["configure"]>,
    },
  ]),
);

/** A file with the ending .br beside each that can be made smaller; the binary sends it to browsers that take it. */
const precompress: Plugin = {
  name: "precompress",
  apply: "build",
  closeBundle() {
    const folder = join(import.meta.dirname, "dist");
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue;
      const path = join(entry.parentPath, entry.name);
      const content = readFileSync(path);
      if (content.length > 1000) writeFileSync(`${path}.br`, brotliCompressSync(content));
    }
  },
};

export default defineConfig({
  plugins: [react(), precompress],
  build: {
    target: "es2022",
    // Nothing is inlined: the Content-Security-Policy allows no inline style or script, and fonts and pictures are few.
    assetsInlineLimit: 0,
    manifest: true,
    // One file of styles: a piece of the page that is asked for again comes without styles of its own.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  worker: { format: "es" },
  server: { proxy },
  preview: {
    proxy,
    headers: {
      "Content-Security-Policy": contentSecurityPolicy,
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
    },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
