/** Somebody who has never seen the page. */
import { expect, test } from "./page";

test("from opening the page to the output of one's own code it takes two clicks and under ten seconds", async ({
  page,
}) => {
  const begun = Date.now();
  await page.goto("/");
  const editor = page.getByRole("textbox", { name: "Program" });
  await editor.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText("print('my', 6 * 7)");
  await page.getByRole("button", { name: "Run", exact: false }).click();
  await expect(page.getByText("my 42")).toBeVisible();
  expect(Date.now() - begun).toBeLessThan(10_000);
  await expect(page.getByRole("region", { name: "Result" }).getByText("Ended by itself")).toBeVisible();
});

test("Ctrl and Enter run, and the output comes while the program runs", async ({ page }) => {
  await page.goto("/?example=hello");
  await page.getByRole("textbox", { name: "Program" }).click();
  await page.keyboard.press("Control+Enter");
  await expect(page.getByText("step 1: 1 squared is 1")).toBeVisible();
  await expect(page.getByRole("button", { name: "Stop", exact: true })).toBeVisible();
  await expect(page.getByText("step 5: 5 squared is 25")).toBeVisible();
  await page.getByRole("tab", { name: /stderr/ }).click();
  await expect(page.getByText("that's all", { exact: true })).toBeVisible();
});

test.describe("keys that come at once", () => {
  // Chromium itself gives what execCommand inserts a style, which the page then refuses.
  test.use({ expected: [/style-src/] });

  test("what was typed last is what runs, however soon the keys come", async ({ page }) => {
    await page.goto("/?example=hello");
    await page.locator(".code-editor .cm-content").click();
    // In one go, so that the page has had no time to render what was typed.
    await page.evaluate(async () => {
      document.execCommand("selectAll");
      document.execCommand("insertText", false, "print('typed', 'last')");
      await Promise.resolve();
      const field = document.querySelector(".code-editor")?.shadowRoot?.querySelector(".cm-content");
      field?.dispatchEvent(
        new KeyboardEvent("keydown", {
          key: "Enter",
          code: "Enter",
          keyCode: 13,
          ctrlKey: true,
          bubbles: true,
          cancelable: true,
          composed: true,
        }),
      );
    });
    await expect(page.getByText("typed last")).toBeVisible();
  });
});

test("what is suspicious is underlined while one types", async ({ page }) => {
  await page.goto("/");
  await page.getByRole("textbox", { name: "Program" }).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText("import socket\nsocket.create_connection(('127.0.0.1', 9))");
  await expect(page.locator(".cm-lintRange").first()).toBeVisible();
  await expect(page.getByText(/The scanner marks \d+ places/)).toBeVisible();
});

test("the network probe shows what was tried and which layer stopped it", async ({ page }) => {
  await page.goto("/");
  await page.getByRole("button", { name: /^A network probe/ }).click();
  await page.getByRole("button", { name: "Run", exact: false }).first().click();
  await expect(page.getByText(/Stopped by Network namespace/)).toBeVisible();
  await page.getByRole("link", { name: "Everything about it" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Ended by itself");
  const facts = page.locator(".five");
  await expect(facts).toContainText("Network namespace");
  await expect(facts).toContainText("Valid");
  await expect(facts).toContainText("layers");
  await expect(page.getByRole("heading", { name: "Evidence" })).toBeVisible();
});

test("the fork bomb and the infinite loop are stopped by their limits", async ({ page }) => {
  await page.goto("/?example=fork-bomb");
  await page.getByRole("button", { name: "Run", exact: false }).first().click();
  await expect(page.getByText(/refused after \d+ processes/)).toBeVisible();
  await expect(page.getByText(/Stopped by Process limit/)).toBeVisible();
  await page.getByRole("button", { name: /^An infinite loop/ }).click();
  await page.getByRole("button", { name: "Run", exact: false }).first().click();
  await expect(page.getByRole("region", { name: "Result" }).getByText("Time ran out").first()).toBeVisible();
});

test("a picture that a program draws is shown", async ({ page }) => {
  await page.goto("/?example=plot");
  await page.getByRole("button", { name: "Run", exact: false }).first().click();
  const picture = page.getByRole("img", { name: /plot.png/ });
  await expect(picture).toBeVisible();
  expect(await picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(640);
});

test("a shared link fills the playground and runs nothing by itself", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto("/?example=files");
  await page.getByRole("button", { name: "Share" }).click();
  await expect(page.getByText("Copied")).toBeVisible();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  const other = await context.newPage();
  await other.goto(link);
  await expect(other.getByText("This program came with the link")).toBeVisible();
  await expect(other.getByText("the most used words")).toBeVisible();
  await expect(other.getByText("Nothing has run yet")).toBeVisible();
});

test("a program is run again on another backend, and the two are compared", async ({ page }) => {
  await page.goto("/?example=javascript");
  await page.getByRole("button", { name: "Run", exact: false }).first().click();
  await expect(page.getByRole("region", { name: "Result" }).getByText("Ended by itself")).toBeVisible();
  await page.getByRole("link", { name: "Everything about it" }).click();
  await page.getByRole("button", { name: "Run again" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: /Backend/ }).click();
  await page.getByRole("option", { name: /^wasm/ }).click();
  const before = page.url();
  await dialog.getByRole("button", { name: "Run again" }).click();
  await expect(page).not.toHaveURL(before);
  await expect(page.getByText("on wasm").or(page.getByText("Couldn't be run").first())).toBeVisible();
  await page.goto("/evaluations");
  const boxes = page.getByRole("checkbox");
  await boxes.nth(0).click({ force: true });
  await boxes.nth(1).click({ force: true });
  await page.getByRole("button", { name: "Compare" }).click();
  await expect(page.getByRole("heading", { name: "Compare", level: 1 })).toBeVisible();
  await expect(page.getByText("Both ran the same program.")).toBeVisible();
});

test("a program that runs is cancelled from its page", async ({ page }) => {
  await page.goto("/?example=hello");
  await page.getByRole("textbox", { name: "Program" }).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText("import time\nprint('begun', flush=True)\ntime.sleep(9)");
  await page.keyboard.press("Control+Enter");
  await expect(page.getByText("begun", { exact: true })).toBeVisible();
  await page.getByRole("link", { name: "Everything about it" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Cancelled");
});

test("the list is filtered, searched, and told live of what is new", async ({ page }) => {
  const { submit } = await import("./page");
  await page.goto("/evaluations");
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  const id = await submit({ code: "print(1)", labels: { wish: "granted" } });
  await expect(page.getByRole("link", { name: id.slice(-8) })).toBeVisible();
  await page.getByRole("searchbox", { name: "Search" }).fill("granted");
  await expect(page).toHaveURL(/search=granted/);
  await expect(page.locator("tbody tr")).toHaveCount(1);
  await page.getByRole("searchbox", { name: "Search" }).fill("nothing has this");
  await expect(page.getByText("Nothing matches")).toBeVisible();
});

test("the keyboard alone goes through the list and opens one", async ({ page }) => {
  const { submit } = await import("./page");
  await submit({ code: "print(2)" });
  await page.goto("/evaluations");
  await page.locator("a.row-link").first().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("x");
  await expect(page.getByRole("region", { name: "Selection" })).toBeVisible();
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/evaluations\/.+/);
});

test("what isn't there is said to be not there", async ({ page }) => {
  await page.goto("/no/such/page");
  await expect(page.getByText("There is no such page")).toBeVisible();
});
