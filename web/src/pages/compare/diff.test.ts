import { expect, test } from "vitest";
import { compareTexts } from "./diff";

test("what is the same is folded, what differs is told", () => {
  const lines = Array.from({ length: 30 }, (_, at) => `line ${at}`);
  const other = lines.with(15, "another");
  const { same, lines: shown } = compareTexts(lines.join("\n"), other.join("\n"), false);
  expect(same).toBe(false);
  expect(shown.map(({ kind }) => kind).join(" ")).toBe("gap same same same gone added same same same gap");
});

test("two that have nothing in common don't take for ever", () => {
  const random = (seed: number) =>
    Array.from({ length: 60_000 }, (_, at) => String((at * 7919 + seed) % 99_991)).join("\n");
  const begun = performance.now();
  compareTexts(random(1), `${random(50_000)}x`, false, 300);
  expect(performance.now() - begun).toBeLessThan(5_000);
});
