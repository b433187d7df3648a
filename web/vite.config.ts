import react from "@vitejs/plugin-react";
import type { HttpProxy } from "vite";
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
      configure: (between: HttpProxy.Server) => {
        between.on("proxyRes", (_answer, _request, response) => {
          setImmediate(() => response.flushHeaders());
        });
      },
    },
  ]),
);

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    // Nothing is inlined: the Content-Security-Policy allows no inline style or script, and fonts and pictures are few.
    assetsInlineLimit: 0,
    manifest: true,
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
