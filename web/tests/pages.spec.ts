/** Every page in both themes, at a phone's and a desk's width: no serious violation of accessibility, and a picture to look at. */
import { accessible, attackJail, expect, picture, submit, test } from "./page";

const widths = [380, 1440];
const themes = ["light", "dark"] as const;

/** An evaluation with something of everything. */
const rich = {
  code: `import os, socket, time
try:
    socket.create_connection(("127.0.0.1", 9))
except OSError as refused:
    print("no way out:", refused)
started = 0
try:
    for _ in range(40):
        if os.fork() == 0:
            os._exit(0)
        started += 1
except OSError as refused:
    print(f"\\x1b[31mrefused\\x1b[0m after {started}: {refused}")
time.sleep(0.6)
open("notes.txt", "w").write("one\\ntwo\\n")
`,
  collect: ["notes.txt", "missing.txt"],
  limits: { pids: 8 },
  labels: { suite: "pages", kind: "rich" },
};

const ids: Record<string, string> = {};

test.beforeAll(async () => {
  await attackJail(["filesystem.host_path", "filesystem.remount", "network.loopback", "kernel.module"]);
  ids["rich"] = await submit(rich);
  ids["plain"] = await submit({ code: "print('plain')", labels: { suite: "pages" } });
  ids["loop"] = await submit({
    code: "while True: pass",
    limits: { timeout: "1s" },
    labels: { suite: "pages" },
  });
  ids["crash"] = await submit({ code: "import os; os.abort()", labels: { suite: "pages" } });
  ids["held"] = await submit(
    { code: "import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)", policy: "strict" },
    false,
  );
});

const pages: { name: string; path: () => string; ready: string | RegExp }[] = [
  { name: "playground", path: () => "/?example=network", ready: "Playground" },
  { name: "evaluations", path: () => "/evaluations", ready: "Evaluations" },
  { name: "evaluation", path: () => `/evaluations/${ids["rich"]}`, ready: /Evaluation:/ },
  { name: "evaluation-held", path: () => `/evaluations/${ids["held"]}`, ready: /Held for review/ },
  { name: "compare", path: () => `/compare?a=${ids["rich"]}&b=${ids["plain"]}`, ready: "Compare" },
  { name: "sign-in", path: () => "/sign-in", ready: "Sign in" },
  { name: "monitor", path: () => "/monitor", ready: "Monitor" },
  { name: "isolation", path: () => "/isolation", ready: "Isolation" },
  { name: "admin-components", path: () => "/admin/components", ready: "Components" },
  { name: "admin-backends", path: () => "/admin/backends", ready: "Backends" },
  { name: "admin-queue", path: () => "/admin/queue", ready: "Queue" },
  { name: "admin-keys", path: () => "/admin/keys", ready: "Keys" },
  { name: "admin-projects", path: () => "/admin/projects", ready: "Projects" },
  { name: "admin-policies", path: () => "/admin/policies", ready: "Policies" },
  { name: "admin-rules", path: () => "/admin/rules", ready: "Rules" },
  { name: "admin-store", path: () => "/admin/store", ready: "Retention and backup" },
  { name: "admin-settings", path: () => "/admin/settings", ready: "Settings" },
];

for (const { name, path, ready } of pages) {
  for (const colorScheme of themes) {
    test(`${name} in ${colorScheme} is accessible and fits a phone and a desk`, async ({ page }) => {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const width of widths) {
        await page.setViewportSize({ width, height: 900 });
        await page.goto(path());
        await expect(page.getByRole("heading", { name: ready, level: 1 })).toBeVisible();
        await expect(page.locator(".bars")).toHaveCount(0);
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(wider, "the page is no wider than the window").toBeLessThanOrEqual(0);
        await page.waitForTimeout(400);
        await accessible(page);
        await picture(page, `${name}-${colorScheme}`);
      }
    });
  }
}

test("every page fits a very wide screen", async ({ page }) => {
  await page.setViewportSize({ width: 2560, height: 1300 });
  for (const { name, path, ready } of pages) {
    await page.goto(path());
    await expect(page.getByRole("heading", { name: ready, level: 1 })).toBeVisible();
    await expect(page.locator(".bars")).toHaveCount(0);
    await page.waitForTimeout(400);
    await picture(page, `${name}-light`);
  }
});
