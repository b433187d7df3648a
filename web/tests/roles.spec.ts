/** A service that wants keys: what each role sees and may do. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { accessible, expect, test } from "./page";
import { binary, type Service, startService } from "./start";

// The browser itself notes each 401 in its console.
test.use({ expected: [/401/] });

const folder = mkdtempSync(join(tmpdir(), "crucible-page-keys-"));
const keys: Record<string, string> = {};
let service: Service;

test.beforeAll(async () => {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("CRUCIBLE_")),
  );
  for (const role of ["viewer", "submitter", "reviewer", "admin"]) {
    const made = execFileSync(
      binary,
      ["keys", "create", "--json", "--role", role, "--data-dir", folder, role],
      { env },
    );
    keys[role] = (JSON.parse(made.toString()) as { secret: string }).secret;
  }
  service = await startService(["--auth", "keys"], folder);
});

test.afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function signIn(page: Page, role: string): Promise<void> {
  await page.goto(service.url);
  await page.getByLabel("Key").fill(keys[role] ?? "");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Playground" })).toBeVisible();
}

test("without a key there is only the way in, and a wrong key is told to be wrong", async ({ page }) => {
  await page.goto(`${service.url}/evaluations`);
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await accessible(page);
  await page.getByLabel("Key").fill("nonsense");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByText("This key opens nothing here")).toBeVisible();
});

test("a viewer looks and isn't offered more", async ({ page }) => {
  await signIn(page, "viewer");
  await expect(page.getByText("Your key only lets you look")).toBeVisible();
  await expect(page.getByRole("button", { name: /^Run/ })).toBeDisabled();
  await expect(page.getByRole("link", { name: "Admin" })).toHaveCount(0);
  await page.getByRole("link", { name: "Evaluations" }).click();
  await expect(page.getByRole("heading", { name: "Evaluations" })).toBeVisible();
});

test("a submitter runs code but doesn't decide; a reviewer does", async ({ page, browser }) => {
  await signIn(page, "submitter");
  await page.getByRole("button", { name: /^Run/ }).click();
  await expect(page.getByText("step 5: 5 squared is 25")).toBeVisible();
  const held = await fetch(`${service.url}/v1/evaluations`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${keys["submitter"]}` },
    body: JSON.stringify({ code: "import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)", policy: "strict" }),
  });
  const { id } = (await held.json()) as { id: string };
  await page.goto(`${service.url}/evaluations/${id}`);
  await expect(page.getByText("Only a reviewer can decide")).toBeVisible();
  await expect(page.getByRole("button", { name: "Approve and run" })).toHaveCount(0);
  const other = await (await browser.newContext()).newPage();
  await signIn(other, "reviewer");
  await other.goto(`${service.url}/evaluations/${id}`);
  await expect(other.getByRole("button", { name: "Approve and run" })).toBeVisible();
  await other.close();
});

test("the key is in this tab's storage alone, and gone when one signs out", async ({ page }) => {
  await signIn(page, "admin");
  await expect(page.getByRole("link", { name: "Admin" })).toBeVisible();
  expect(
    await page.evaluate(() => JSON.stringify(localStorage) + document.cookie + location.href),
  ).not.toContain(keys["admin"] ?? "?");
  await page.getByRole("button", { name: /Sign out/ }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  expect(await page.evaluate(() => sessionStorage.length)).toBeLessThanOrEqual(1);
});
