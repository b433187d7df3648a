/** Every page in both themes, at a phone's and a desk's width: no serious violation of accessibility, and a picture to look at. */
import { accessible, expect, picture, test } from "./page";

const widths = [380, 1440];
const themes = ["light", "dark"] as const;

const pages: { name: string; path: () => Promise<string>; ready: string | RegExp }[] = [
  { name: "evaluations", path: async () => "/evaluations", ready: "Evaluations" },
  { name: "sign-in", path: async () => "/sign-in", ready: "Sign in" },
];

test.use({ expected: [/404/] });

for (const { name, path, ready } of pages) {
  for (const colorScheme of themes) {
    test(`${name} in ${colorScheme} is accessible and fits a phone and a desk`, async ({ page }) => {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const width of widths) {
        await page.setViewportSize({ width, height: 900 });
        await page.goto(await path());
        await expect(page.getByRole("heading", { name: ready, level: 1 })).toBeVisible();
        await expect(page.locator(".bars")).toHaveCount(0);
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(wider, "the page is no wider than the window").toBeLessThanOrEqual(0);
        await accessible(page);
        await picture(page, `${name}-${colorScheme}`);
      }
    });
  }
}
