/** The journey of an operator: what they look at, what they change, and what others may then do or not. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type APIRequestContext, request } from "@playwright/test";
import { expect, service, submit, test } from "./page";
import { binary, type Service, startPage, startService } from "./start";

async function as(url: string, key?: string): Promise<APIRequestContext> {
  return request.newContext({
    baseURL: url,
    ...(key === undefined ? {} : { extraHTTPHeaders: { authorization: `Bearer ${key}` } }),
  });
}

test("events come as they happen, are filtered, and wait while the monitor is paused", async ({ page }) => {
  await page.goto("/monitor");
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  const events = page.getByRole("region", { name: "Events, the newest last" });
  await submit({ code: "print('the operator looks')" });
  await expect(events.getByText("the operator looks")).toBeVisible();
  await expect(events.getByText("Finished").first()).toBeVisible();

  await page.getByRole("searchbox", { name: "Find an event" }).fill("operator looks");
  await expect(events.getByText("Finished")).toHaveCount(0);
  await page.getByRole("searchbox", { name: "Find an event" }).fill("");

  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByText("Paused", { exact: true })).toBeVisible();
  await submit({ code: "print('while paused')" });
  await expect(page.getByText(/came meanwhile/)).toBeVisible();
  await expect(events.getByText("while paused")).toHaveCount(0);
  await page.getByRole("button", { name: "Go on" }).click();
  await expect(events.getByText("while paused")).toBeVisible();
  await expect(page.getByRole("list", { name: "Throughput, the newest numbers" })).toContainText("Finished");
});

test("a paused queue accepts and begins nothing, a drained one refuses, and both say so", async ({
  page,
}) => {
  await page.goto("/admin/queue");
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByText("Evaluations come in and wait; none is begun.")).toBeVisible();
  const id = await submit({ code: "print('later')" }, false);
  await page.goto("/monitor");
  await expect(page.getByText("The queue is paused.")).toBeVisible();

  await page.goto("/admin/queue");
  await page.getByRole("button", { name: "Drain" }).click();
  const question = page.getByRole("alertdialog", { name: "Drain the queue?" });
  await expect(question).toContainText("every submission is refused");
  await question.getByRole("button", { name: "Drain the queue" }).click();
  await expect(page.getByText("Draining", { exact: true })).toBeVisible();
  await expect(submit({ code: "print(1)" }, false)).rejects.toThrow(/503/);

  await page.getByRole("button", { name: "Open", exact: true }).click();
  await expect(page.getByText("Evaluations come in and are run.")).toBeVisible();
  const api = await as(service());
  await expect
    .poll(async () => ((await (await api.get(`/v1/evaluations/${id}`)).json()) as { state: string }).state)
    .toBe("finished");
  await api.dispose();
});

test("the parts of the service tell how they are", async ({ page }) => {
  await page.goto("/admin");
  await expect(page).toHaveURL(/\/admin\/components$/);
  const jail = page.getByRole("region", { name: "jail", exact: true });
  await expect(jail.getByText("Well", { exact: true })).toBeVisible();
  await jail.getByText(/checks passed/).click();
  await expect(jail.getByRole("listitem").first()).toBeVisible();
  await expect(jail.getByRole("img", { name: /tests of jail/ })).toBeVisible();
});

test("a policy is tried on a program, as it stands and changed", async ({ page }) => {
  await page.goto("/admin/policies");
  const told = page.getByRole("status", { name: "What the policy would do" });
  await expect(told.getByText("It would run")).toBeVisible();
  await expect(told.getByText(/a connection is opened/)).toBeVisible();
  await page.getByRole("button", { name: /^strict/ }).click();
  await expect(told.getByText(/It would be (held|turned away)/)).toBeVisible();

  const editor = page.getByRole("textbox", { name: /as TOML/ });
  await editor.click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText('extends = "default"\n[before\n');
  await expect(page.getByRole("alert")).toContainText("policy.toml:2");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText('extends = "default"\n[before]\ndeny = "low"\n');
  await expect(told.getByText("It would be turned away")).toBeVisible();
  await page.getByRole("button", { name: "As it was" }).click();
  await expect(told.getByText("It would be turned away")).toHaveCount(0);
});

test("rules and settings are found", async ({ page }) => {
  await page.goto("/admin/rules");
  await page.getByRole("searchbox", { name: "Search" }).fill("python.network.socket");
  await expect(page.getByText("1 of ", { exact: false })).toBeVisible();
  await page.getByText("a socket is made").click();
  await expect(page.getByText("Why it matters")).toBeVisible();
  await page.goto("/admin/settings");
  await page.getByText("Only what isn't as shipped").click();
  await expect(page.getByText("serve.data", { exact: true })).toBeVisible();
  await expect(page.getByText("limits.memory")).toHaveCount(0);
});

test("the store is checked, copied, and forgets only after a word was typed", async ({ page }) => {
  const id = await submit({ code: "print('to be forgotten')" });
  await page.goto("/admin/store");
  await page.getByRole("button", { name: "Check everything" }).click();
  await expect(page.getByText("Nothing is damaged.")).toBeVisible();
  await page.getByRole("textbox", { name: "What the folder is called" }).fill("a-copy");
  await page.getByRole("button", { name: "Make a backup" }).click();
  await expect(page.getByText("backups/a-copy")).toBeVisible();

  await page.getByRole("textbox", { name: "What ended longer ago than" }).fill("1d");
  await page.getByRole("button", { name: "Forget…" }).click();
  const question = page.getByRole("alertdialog");
  await expect(question).toContainText("more than 1d ago");
  const really = question.getByRole("button", { name: "Forget them" });
  await expect(really).toBeDisabled();
  await question.getByRole("textbox").fill("forget");
  await really.click();
  await expect(page.getByText("0 evaluations are forgotten")).toBeVisible();
  const api = await as(service());
  expect((await api.get(`/v1/evaluations/${id}`)).status()).toBe(200);
  await api.dispose();
});

test("a project gets a quota, and what is above it is refused", async ({ page }) => {
  await page.goto("/admin/projects");
  await page.getByRole("button", { name: "Set a quota" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Project" }).fill("course-1");
  await dialog.getByRole("textbox", { name: "Accepted in a day" }).fill("many");
  await expect(dialog.getByText("A whole number is needed.")).toBeVisible();
  await dialog.getByRole("textbox", { name: "Accepted in a day" }).fill("1,000");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("row", { name: /course-1/ })).toContainText("1,000");
});

test.describe("with keys", () => {
  test.use({ expected: [/40[13]/] });
  let keyed: Service;
  let page_: { url: string; stop(): Promise<void> };
  let data: string;
  let admin: string;

  test.beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), "crucible-keys-"));
    admin = execFileSync(binary, ["keys", "create", "--role", "admin", "--data-dir", data, "the operator"], {
      encoding: "utf8",
    }).trim();
    keyed = await startService(["--auth", "keys"], data);
    page_ = await startPage(keyed.url);
  });
  test.afterAll(async () => {
    await page_?.stop();
    await keyed?.stop();
    rmSync(data, { recursive: true, force: true });
  });

  test("a key is made, shown once, refused what its role may not, and revoked", async ({ page }) => {
    await page.goto(`${page_.url}/admin/keys`);
    await page.getByRole("textbox", { name: "Key" }).fill(admin);
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("heading", { name: "Keys", level: 1 })).toBeVisible();
    await expect(page.getByRole("row", { name: /the operator/ })).toContainText("You");

    await page.getByRole("button", { name: "Make a key" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: /Name/ }).fill("a visitor");
    await dialog.getByRole("button", { name: /Role/ }).click();
    await page.getByRole("option", { name: "Viewer" }).click();
    await dialog.getByRole("button", { name: "Make it" }).click();
    await expect(dialog.getByText("This is shown once.")).toBeVisible();
    const secret = (await dialog.getByTestId("secret").textContent()) ?? "";
    expect(secret.length).toBeGreaterThan(20);
    await dialog.getByRole("button", { name: "I have kept it" }).click();
    await expect(page.getByText(secret)).toHaveCount(0);

    // As the visitor: no way to the operator's pages is shown, their address says why, and the service refuses.
    const visitor = await as(keyed.url, secret);
    expect((await visitor.post("/v1/evaluations", { data: { code: "1" } })).status()).toBe(403);
    expect((await visitor.get("/v1/settings")).status()).toBe(403);
    await page.evaluate((key) => sessionStorage.setItem("crucible.key", key), secret);
    await page.goto(`${page_.url}/monitor`);
    await expect(page.getByText("Live", { exact: true })).toBeVisible();
    await expect(page.getByRole("link", { name: "Admin" })).toHaveCount(0);
    await expect(page.getByRole("link", { name: "Components" })).toHaveCount(0);
    await page.goto(`${page_.url}/admin/keys`);
    await expect(page.getByRole("heading", { name: "This page is for admins" })).toBeVisible();
    await page.goto(`${page_.url}/isolation`);
    await expect(page.getByRole("heading", { name: "Isolation", level: 1 })).toBeVisible();
    await expect(page.getByRole("button", { name: /Run the suite/ })).toHaveCount(0);

    await page.evaluate((key) => sessionStorage.setItem("crucible.key", key), admin);
    await page.goto(`${page_.url}/admin/keys`);
    await page.getByRole("button", { name: "Revoke a visitor" }).click();
    const question = page.getByRole("alertdialog");
    await expect(question).toContainText("It opens nothing from this moment");
    await question.getByRole("button", { name: "Revoke it" }).click();
    await expect(page.getByRole("row", { name: /a visitor/ })).toHaveCount(0);
    await page.getByText("Show revoked ones").click();
    await expect(page.getByRole("row", { name: /a visitor/ })).toContainText("Revoked");
    expect((await visitor.get("/v1/me")).status()).toBe(401);
    await visitor.dispose();
  });
});

test("a service that goes away and comes back is told, and events go on", async ({ page }) => {
  test.slow();
  const data = mkdtempSync(join(tmpdir(), "crucible-back-"));
  await page.goto("/monitor");
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  await page.context().setOffline(true);
  await page.evaluate(() => 1);
  await expect(page.getByText("Offline, reconnecting…")).toBeVisible({ timeout: 20_000 });
  await page.context().setOffline(false);
  await expect(page.getByText("Live", { exact: true })).toBeVisible({ timeout: 30_000 });
  await submit({ code: "print('back again')" });
  await expect(page.getByText("back again")).toBeVisible();
  rmSync(data, { recursive: true, force: true });
});
