/** Guests that write against their reader: nothing of theirs runs, breaks the page or makes it wait. */
import { expect, submit, test } from "./page";

test("HTML and scripts in output, labels, names and files are text", async ({ page }) => {
  const evil = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>";
  const id = await submit({
    code: `
evil = ${JSON.stringify(evil)}
print(evil)
import sys; print(evil, file=sys.stderr)
open("page.html", "w").write(evil)
open("a.svg", "w").write("<svg xmlns='http://www.w3.org/2000/svg' onload='document.title=1'/>")
`,
    collect: ["page.html", "a.svg"],
    labels: { evil: "<b>bold</b>" },
  });
  await page.goto(`/evaluations/${id}`);
  await expect(page.locator(".guest").getByText("<script>").first()).toBeVisible();
  await page
    .getByRole("button", { name: /a\.svg/ })
    .first()
    .click();
  await expect(page.locator(".file-preview").getByText("<svg")).toBeVisible();
  expect(await page.locator("#page script, #page img, #page iframe, #page object").count()).toBe(0);
  expect(await page.title()).not.toContain("owned");
  await page.goto("/evaluations?search=bold");
  await expect(page.getByText("evil=<b>bold</b>")).toBeVisible();
});

test("control sequences, bidi and invisible characters are marks; colours are classes", async ({ page }) => {
  const id = await submit({
    code: String.raw`
import sys
print("\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07 \x1b[8mhidden\x1b[0m \x1b[30;40mblack\x1b[0m")
print("a\u202eb\u200bc\u2066d")
print("one\rtwo")
sys.stdout.flush()
sys.stdout.buffer.write(b"bytes \xff\xfe end\n")
`,
  });
  await page.goto(`/evaluations/${id}`);
  const output = page.locator(".guest").first();
  await expect(output.getByText("red", { exact: true })).toHaveClass("t1");
  await expect(output.locator(".mark", { hasText: "ESC" }).first()).toBeVisible();
  await expect(output.locator(".mark", { hasText: "U+202E" })).toBeVisible();
  await expect(output.locator(".mark", { hasText: "U+200B" })).toBeVisible();
  await expect(output.getByText("hidden")).toBeVisible();
  await expect(output.getByText("bytes \ufffd\ufffd end")).toBeVisible();
  expect(await output.locator("[style*=color]").count()).toBe(0);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: /exact bytes/i }).click(),
  ]);
  const stream = await download.createReadStream();
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  expect(Buffer.concat(parts).includes(Buffer.from([0xff, 0xfe]))).toBe(true);
});

test("a huge line, stacked accents and a long word leave the page as wide as it is", async ({ page }) => {
  const id = await submit({
    code: `print("x" * 900_000)\nprint("Z" + "\\u0300" * 5000)\nprint("\\x1b[1m" * 20000 + "end")`,
    labels: { long: "y".repeat(200) },
  });
  await page.setViewportSize({ width: 380, height: 800 });
  await page.goto(`/evaluations/${id}`);
  await expect(page.locator(".guest-row").first()).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  expect(await page.locator(".guest-row").count()).toBeLessThan(200);
});

test("a picture bomb is refused by its header, and a broken picture said to be one", async ({ page }) => {
  const id = await submit({
    code: `
import struct, zlib
def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
head = b"\\x89PNG\\r\\n\\x1a\\n"
open("bomb.png", "wb").write(head + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\\0" * 10_000_000)))
open("broken.png", "wb").write(head + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)) + b"nonsense")
`,
    collect: ["bomb.png", "broken.png"],
  });
  await page.goto(`/evaluations/${id}`);
  await expect(page.getByText("60,000 × 60,000 pixels is too large")).toBeVisible();
  await page
    .getByRole("button", { name: /broken\.png/ })
    .first()
    .click();
  await expect(page.getByText("isn't one that can be shown")).toBeVisible();
});
