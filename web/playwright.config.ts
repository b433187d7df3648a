import { defineConfig } from "@playwright/test";

/** Real Chromium (the system's) against a real service; see tests/start.ts for where both come from. */
export default defineConfig({
  testDir: "tests",
  globalSetup: "./tests/start.ts",
  workers: 1,
  // What passes at a second try is told as flaky.
  retries: 1,
  fullyParallel: false,
  forbidOnly: Boolean(process.env["CI"]),
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [["list"]],
  outputDir: "test-results",
  use: {
    ...(process.env["SERVICE_URL"] ? { baseURL: process.env["SERVICE_URL"] } : {}),
    launchOptions: {
      executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    },
    trace: "off",
  },
});
