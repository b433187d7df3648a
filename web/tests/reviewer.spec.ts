/** Somebody who decides about what a policy holds. */
import { expect, submit, test } from "./page";

const suspicious = {
  code: "import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)\nprint('asked politely')",
  policy: "strict",
  tripwires: [],
};

test("what is held is read, approved with a reason, and runs", async ({ page }) => {
  const id = await submit(suspicious, false);
  await page.goto(`/evaluations/${id}`);
  await expect(page.getByRole("heading", { name: "Held for a person's decision" })).toBeVisible();
  await expect(page.getByText(/the kernel is called directly/).first()).toBeVisible();
  await page.getByRole("button", { name: "Approve and run" }).click();
  await expect(page.getByText("Say why")).toBeVisible();
  await page.getByRole("textbox", { name: "Why you decide so" }).fill("I read all three lines.");
  await page.getByRole("button", { name: "Approve and run" }).click();
  await expect(page.getByText(/Approved.*I read all three lines\./)).toBeVisible();
  await expect(page.getByText("asked politely", { exact: true })).toBeVisible();
});

test("what is rejected never runs", async ({ page }) => {
  const id = await submit(suspicious, false);
  await page.goto(`/evaluations/${id}`);
  await page.getByRole("textbox", { name: "Why you decide so" }).fill("It has no business there.");
  await page.getByRole("button", { name: "Reject" }).click();
  await expect(page.getByText(/Rejected.*It has no business there\./)).toBeVisible();
  await expect(page.getByText("asked politely", { exact: true })).toHaveCount(0);
});
