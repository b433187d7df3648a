/** The test that every file uses: it fails on anything that the page's console or the Content-Security-Policy complains about. */
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";

export const service = (): string => process.env["SERVICE_URL"] ?? "";

/** Complaints that a test expects. */
type Expected = RegExp[];

export const test = base.extend<{ expected: Expected }>({
  expected: [[], { option: true }],
  page: async ({ page, expected }, use) => {
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" || /Content.Security.Policy/i.test(message.text())) {
        complaints.push(message.text());
      }
    });
    // Says where a violation of the Content-Security-Policy comes from.
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        const place = event.target instanceof Element ? event.target.outerHTML.slice(0, 300) : "";
        console.error(
          `Content-Security-Policy: ${event.violatedDirective} ${event.sourceFile}:${event.lineNumber}:${event.columnNumber} ${event.sample} ${place}`,
        );
      });
    });
    await use(page);
    const unexpected = complaints.filter((text) => !expected.some((pattern) => pattern.test(text)));
    expect(unexpected, "the page's console").toEqual([]);
  },
});

/** No serious violation of the rules for accessible pages. */
export async function accessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
  expect(serious).toEqual([]);
}

export const screenshots = join(import.meta.dirname, "../../target/ci/screenshots");

/** Keeps what the page looks like now, at the width that it has; all of it, or what is in the window alone. */
export async function picture(page: Page, name: string, fullPage = true): Promise<void> {
  const width = page.viewportSize()?.width ?? 0;
  await page.screenshot({
    path: join(screenshots, `${name}-${width}.png`),
    fullPage,
    animations: "disabled",
  });
}

/** Submits an evaluation by the interface and waits for its end. */
export async function submit(specification: object, wait = true): Promise<string> {
  const response = await fetch(`${service()}/v1/evaluations${wait ? "?wait=30s" : ""}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(specification),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const { id } = (await response.json()) as { id: string };
  return id;
}

/** Attacks the jail with a few probes, and waits for the end. */
export async function attackJail(only: string[]): Promise<void> {
  const attacks = `${service()}/v1/attacks`;
  const response = await fetch(attacks, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ backend: "jail", only }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const { id } = (await response.json()) as { id: string };
  await expect
    .poll(async () => ((await (await fetch(`${attacks}/${id}`)).json()) as { state: string }).state, {
      timeout: 60_000,
    })
    .toBe("finished");
}

export { expect };
