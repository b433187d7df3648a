/** Large outputs and many events: no frame of more than 100 ms while one scrolls, and little in the document. */
import type { Page } from "@playwright/test";
import { expect, submit, test } from "./page";

// What counts is what the page can do; a machine that does something else for three seconds says nothing about that.
test.describe.configure({ retries: 2 });

const MOST_MS = 100;
/** While 10 MB come in, a machine of two cores runs the service, the browser and this test at once. */
const MOST_LOADING_MS = 250;

/** The best of three tries: what else the machine does is no fault of the page. */
async function slowestWhileScrolling(page: Page, selector: string): Promise<number> {
  let best = Infinity;
  for (let turn = 0; turn < 3 && best >= MOST_MS; turn++) best = Math.min(best, await scroll(page, selector));
  return best;
}

/** Scrolls through an element and gives the longest task of the page meanwhile. */
async function scroll(page: Page, selector: string): Promise<number> {
  return page
    .locator(selector)
    .first()
    .evaluate(async (element) => {
      let slowest = 0;
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) slowest = Math.max(slowest, entry.duration);
      });
      observer.observe({ type: "longtask" });
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      const room = element.scrollHeight - element.clientHeight;
      for (let step = 0; step <= 60; step++) {
        element.scrollTop = (room * step) / 60;
        await frame();
      }
      for (let step = 0; step < 60; step++) {
        element.scrollTop -= 120;
        await frame();
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
      observer.disconnect();
      return slowest;
    });
}

/** The long tasks of the best of three loads, without the page's very first one. */
async function quickest(load: () => Promise<number[]>): Promise<number> {
  let best = Infinity;
  for (let turn = 0; turn < 3 && best >= MOST_LOADING_MS; turn++) {
    best = Math.min(best, Math.max(0, ...(await load()).slice(1)));
  }
  return best;
}

/** Notes every long task of the page from its very beginning. */
async function watch(page: Page): Promise<() => Promise<number[]>> {
  await page.addInitScript(() => {
    const tasks: number[] = [];
    Object.assign(window, { longTasks: tasks });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) tasks.push(Math.round(entry.duration));
    }).observe({ type: "longtask", buffered: true });
  });
  return () => page.evaluate(() => (window as unknown as { longTasks: number[] }).longTasks);
}

test("ten megabytes of output are there at once and scroll smoothly", async ({ page }) => {
  test.setTimeout(120_000);
  const id = await submit({
    code: `
import sys
line = "0123456789 \\x1b[32mgreen\\x1b[0m " + "x" * 70
for number in range(0, 100_000, 1000):
    sys.stdout.write("\\n".join(f"{n} {line}" for n in range(number, number + 1000)) + "\\n")
`,
    limits: { output: "16MiB", timeout: "60s", cpu_time: "60s" },
  });
  const tasks = await watch(page);
  const output = page.locator(".guest").first();
  const loading = await quickest(async () => {
    await page.goto(`/evaluations/${id}`);
    await page.getByRole("tab", { name: /stdout/ }).click();
    await expect(page.getByRole("tab", { name: /stdout/ })).toContainText("MiB");
    await expect(output).toBeVisible();
    await page.waitForTimeout(2_500);
    return tasks();
  });
  const slowest = await slowestWhileScrolling(page, ".guest");
  await output.evaluate((element) => {
    element.scrollTop = element.scrollHeight;
  });
  await expect(output.getByText(/^99999 /)).toBeVisible();
  expect(await page.locator(".guest-row").count()).toBeLessThan(150);
  expect(slowest).toBeLessThan(MOST_MS);
  expect(loading).toBeLessThan(MOST_LOADING_MS);
});

test("fifty thousand events of a stream, told by a service, are read without a long task", async ({
  page,
}) => {
  const id = await submit({ code: "print(1)" });
  const event = (number: number, kind: string, data: object) =>
    `id: ${number}\nevent: ${kind}\ndata: ${JSON.stringify({ number, global: number, evaluation: id, project: "default", kind, at: new Date(1_700_000_000_000 + number).toISOString(), data })}\n\n`;
  let body = "";
  for (let number = 1; number < 50_000; number++) {
    body += event(number, "output_produced", {
      stream: number % 2 ? "stdout" : "stderr",
      text: `line ${number}\n`,
    });
  }
  body += event(50_000, "finished", { status: "exited", validity: "valid" });
  await page.route(`**/v1/evaluations/${id}/events`, (route) =>
    route.fulfill({ contentType: "text/event-stream", body }),
  );
  const tasks = await watch(page);
  const loading = await quickest(async () => {
    await page.goto(`/evaluations/${id}`);
    await expect(page.getByText("50,000 events")).toBeVisible({ timeout: 30_000 });
    return tasks();
  });
  const slowest = await slowestWhileScrolling(page, ".timeline");
  expect(slowest).toBeLessThan(MOST_MS);
  expect(loading).toBeLessThan(MOST_LOADING_MS);
});
