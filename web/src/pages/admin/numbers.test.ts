import { expect, test } from "vitest";
import { wholeNumber } from "./numbers";

test("nothing typed is no bound, and what isn't a number is told", () => {
  expect(wholeNumber(" ")).toEqual({ value: null, wrong: null });
  expect(wholeNumber("1,000")).toEqual({ value: 1000, wrong: null });
  for (const text of ["-1", "1.5", "x", "1e3", "99999999999", "2000000000"]) {
    expect(wholeNumber(text).wrong, text).not.toBeNull();
  }
  expect(wholeNumber("0", 1).wrong).toBe("At least 1.");
});
