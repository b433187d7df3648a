/** The journey of an operator: what they look at, what they change, and what others may then do or not. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type APIRequestContext, request } from "@playwright/test";
import { accessible, attackJail, expect, picture, service, submit, test } from "./page";
import { binary, type Service, startService } from "./start";

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
  for (const width of [380, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    await accessible(page);
    await picture(page, "monitor-live");
  }
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

test("a backend that is switched off gets nothing, until it is switched on again", async ({ page }) => {
  await page.goto("/admin/backends");
  const wasm = page.getByRole("region", { name: "wasm", exact: true });
  await wasm.getByRole("button", { name: "Limit" }).click();
  const limit = page.getByRole("dialog");
  await limit.getByRole("textbox").fill("2");
  await limit.getByRole("button", { name: "Save" }).click();
  await expect(wasm).toContainText("2 at most");

  await wasm.getByRole("button", { name: "Switch off" }).click();
  const question = page.getByRole("alertdialog", { name: "Switch wasm off?" });
  await expect(question).toContainText("What runs on it now goes on.");
  await picture(page, "admin-switch-off", false);
  await question.getByRole("button", { name: "Leave it" }).click();
  await expect(wasm.getByText("In use", { exact: true })).toBeVisible();
  await wasm.getByRole("button", { name: "Switch off" }).click();
  await question.getByRole("button", { name: "Switch wasm off" }).click();
  await expect(wasm.getByText("Switched off")).toBeVisible();
  await expect(wasm).toContainText("2 at most");

  const api = await as(service());
  // An empty module, which needs no runtime to be installed.
  const module = "AGFzbQEAAAABBAFgAAADAgEABwoBBl9zdGFydAAACgQBAgAL";
  const id = await submit({ code_base64: module, language: "wasm", backend: "wasm" }, false);
  const state = async (): Promise<string> =>
    ((await (await api.get(`/v1/evaluations/${id}`)).json()) as { state: string }).state;
  await page.waitForTimeout(1_500);
  expect(await state()).toBe("queued");
  await wasm.getByRole("button", { name: "Switch on" }).click();
  await expect(wasm.getByText("In use", { exact: true })).toBeVisible();
  await expect.poll(state, { timeout: 45_000 }).toBe("finished");
  await api.put("/v1/backends/wasm", { data: { enabled: true } });
  await api.dispose();
});

test("the jail is attacked from the page, and every property shows its evidence", async ({ page }) => {
  test.slow();
  await page.goto("/isolation");
  const first = page.getByRole("button", { name: "Run the suite" }).first();
  await first.click();
  const dialog = page.getByRole("dialog", { name: "Attack a sandbox" });
  await expect(dialog.getByRole("button", { name: /Backend/ })).toContainText("jail");
  await dialog.getByRole("button", { name: "Run the whole suite" }).click();
  const now = page.getByRole("region", { name: "The attack that runs now" });
  await expect(now).toContainText("Attacking jail");
  await expect(now.getByRole("status")).toContainText(/[1-9]\d* of \d+ properties/, { timeout: 30_000 });
  await picture(page, "isolation-running", false);
  await now.getByRole("button", { name: "Cancel" }).click();
  const question = page.getByRole("alertdialog");
  await expect(question).toContainText("is thrown away");
  await question.getByRole("button", { name: "Cancel the attack" }).click();
  await expect(now).toHaveCount(0, { timeout: 30_000 });
  await expect(page.getByRole("row", { name: /Cancelled/ }).first()).toBeVisible();

  await attackJail(["filesystem.host_path", "filesystem.remount", "network.loopback", "kernel.module"]);
  await page.reload();
  const cell = page.getByRole("button", { name: "filesystem.host_path on jail: Held" });
  await cell.click();
  const drawer = page.getByRole("dialog");
  await expect(drawer.getByRole("heading", { name: /absolute path/ })).toBeVisible();
  await expect(drawer.getByRole("region", { name: "In the sandbox as it is used" })).toContainText(
    "Didn't get through",
  );
  await expect(drawer.getByRole("region", { name: "Control: protection left off" })).toContainText(
    "Got through",
  );
  for (const width of [380, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    await accessible(page);
    await picture(page, "isolation-property", false);
  }
  await drawer.getByRole("button", { name: "Next" }).click();
  await expect(drawer.getByRole("heading", { name: /root folder/ })).toBeVisible();

  await drawer.getByRole("button", { name: "Try this again on jail" }).click();
  await page.getByRole("button", { name: "Try it" }).click();
  await expect(page.getByRole("row", { name: /Finished.*jail.*1 held of 1/ }).first()).toBeVisible({
    timeout: 45_000,
  });
  // The other properties keep what was found before.
  await expect(cell).toBeVisible();
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

test.describe("policies", () => {
  test.use({ expected: [/400/] });

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

test("a project gets a quota", async ({ page }) => {
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

test("what was given up is tried again", async ({ page }) => {
  // The service gives nothing up here, so the list is a stand-in for one; what is submitted again is real.
  const id = await submit({ code: "print('once more')", labels: { dead: "once" } });
  const api = await as(service());
  const list = (await (await api.get("/v1/evaluations?label=dead=once")).json()) as {
    evaluations: object[];
  };
  await page.route(/\/v1\/evaluations\?.*state=dead/, (route) =>
    route.fulfill({
      json: {
        evaluations: list.evaluations.map((one) => ({ ...one, state: "dead", attempt: 3 })),
        cursor: null,
      },
    }),
  );
  await page.goto("/admin/queue");
  await page.getByRole("button", { name: "Try all 1 again" }).click();
  const row = page.getByRole("row", { name: new RegExp(id.slice(-8)) });
  await expect(row.getByRole("link")).toHaveCount(2);
  const href = await row.getByRole("link").nth(1).getAttribute("href");
  expect(href).not.toContain(id);
  await expect
    .poll(async () => ((await (await api.get(`/v1${href}`)).json()) as { state: string }).state)
    .toBe("finished");
  await picture(page, "admin-given-up", false);
  await api.dispose();
});

test.describe("with keys", () => {
  test.use({ expected: [/40[13]/] });
  let keyed: Service;
  let data: string;
  let admin: string;

  test.beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), "crucible-keys-"));
    admin = execFileSync(binary, ["keys", "create", "--role", "admin", "--data-dir", data, "the operator"], {
      encoding: "utf8",
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CRUCIBLE_"))),
    }).trim();
    keyed = await startService(["--auth", "keys"], data);
  });
  test.afterAll(async () => {
    await keyed?.stop();
    rmSync(data, { recursive: true, force: true });
  });

  test("a key is made, shown once, refused what its role may not, and revoked", async ({ page }) => {
    await page.goto(`${keyed.url}/admin/keys`);
    await page.getByRole("textbox", { name: "Key" }).fill(admin);
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("heading", { name: "Keys", level: 1 })).toBeVisible();
    await expect(page.getByRole("row", { name: /the operator/ })).toContainText("You");

    await page.getByRole("button", { name: "Make a key" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: /Name/ }).fill("a visitor");
    await dialog.getByRole("button", { name: /Role/ }).click();
    await page.getByRole("option", { name: /^Viewer/ }).click();
    await dialog.getByRole("button", { name: "Make it" }).click();
    await expect(dialog.getByText("This is shown once.")).toBeVisible();
    await accessible(page);
    await picture(page, "admin-key-made", false);
    const secret = (await dialog.getByTestId("secret").textContent()) ?? "";
    expect(secret.length).toBeGreaterThan(20);
    await dialog.getByRole("button", { name: "I have kept it" }).click();
    await expect(page.getByText(secret)).toHaveCount(0);

    // As the visitor: no way to the operator's pages is shown, their address says why, and the service refuses.
    const visitor = await as(keyed.url, secret);
    expect((await visitor.post("/v1/evaluations", { data: { code: "1" } })).status()).toBe(403);
    expect((await visitor.get("/v1/settings")).status()).toBe(403);
    await page.evaluate((key) => sessionStorage.setItem("crucible.key", key), secret);
    await page.goto(`${keyed.url}/monitor`);
    await expect(page.getByText("Live", { exact: true })).toBeVisible();
    await expect(page.getByRole("link", { name: "Admin" })).toHaveCount(0);
    await expect(page.getByRole("link", { name: "Components" })).toHaveCount(0);
    await page.goto(`${keyed.url}/admin/keys`);
    await expect(page.getByRole("heading", { name: "This page is for admins" })).toBeVisible();
    await page.goto(`${keyed.url}/isolation`);
    await expect(page.getByRole("heading", { name: "Isolation", level: 1 })).toBeVisible();
    await expect(page.getByRole("button", { name: /Run the suite/ })).toHaveCount(0);

    await page.evaluate((key) => sessionStorage.setItem("crucible.key", key), admin);
    await page.goto(`${keyed.url}/admin/keys`);
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

test.describe("a restart", () => {
  test.use({ expected: [/ERR_/] });

  test("a service that goes away and comes back is told, and events go on", async ({ page }) => {
    test.slow();
    const data = mkdtempSync(join(tmpdir(), "crucible-back-"));
    let there = await startService([], data);
    try {
      await page.goto(`${there.url}/monitor`);
      await expect(page.getByText("Live", { exact: true })).toBeVisible();
      await there.stop();
      await expect(page.getByText("Offline, reconnecting…")).toBeVisible({ timeout: 20_000 });
      await expect(page.getByText("The service doesn't answer. What is shown may be old")).toBeVisible();
      await picture(page, "monitor-offline", false);
      there = await startService([], data, Number(new URL(there.url).port));
      await expect(page.getByText("Live", { exact: true })).toBeVisible({ timeout: 40_000 });
      const api = await as(there.url);
      await api.post("/v1/evaluations", { data: { code: "print('back again')" } });
      await expect(page.getByText("back again")).toBeVisible();
      await api.dispose();
    } finally {
      await there.stop();
      rmSync(data, { recursive: true, force: true });
    }
  });
});
