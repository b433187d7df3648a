/** A service that goes away and comes back. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, test } from "./page";
import { startService } from "./start";

// The browser itself notes each request that nobody answers.
test.use({ expected: [/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/] });

test("the page says that the service is away, and goes on by itself when it is back", async ({ page }) => {
  test.setTimeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), "crucible-page-offline-"));
  const first = await startService([], folder);
  await page.goto(`${first.url}/evaluations`);
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  await first.stop();
  await expect(page.getByText("The service doesn't answer.")).toBeVisible();
  await expect(page.getByText("Offline, reconnecting…")).toBeVisible();
  await expect(page.getByRole("heading", { name: "Evaluations" })).toBeVisible();
  const second = await startService([], folder, Number(new URL(first.url).port));
  await expect(page.getByText("Live", { exact: true })).toBeVisible({ timeout: 40_000 });
  await expect(page.getByText("The service doesn't answer.")).toHaveCount(0, { timeout: 20_000 });
  await fetch(`${second.url}/v1/evaluations`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code: "print('back')" }),
  });
  await expect(page.locator("tbody tr")).toHaveCount(1);
  await second.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("a piece of a page that didn't come is asked for again", async ({ page }) => {
  const service = await startService();
  try {
    await missing(page, service.url);
  } finally {
    await service.stop();
  }
});

async function missing(page: Page, url: string): Promise<void> {
  let missed = 0;
  await page.route(/OverTimeCanvas|Evaluations-/, async (route) => {
    if (!route.request().url().endsWith(".js") || missed >= 2) return route.continue();
    missed += 1;
    return route.abort("connectionrefused");
  });
  await page.goto(`${url}/monitor`);
  await expect(page.locator(".over-time-plot canvas").first()).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(0);
  missed = 0;
  await page.getByRole("link", { name: "Evaluations" }).click();
  await expect(page.getByRole("heading", { name: "Evaluations" })).toBeVisible();
  expect(missed).toBe(2);
}
