import { expect, test } from "vitest";
import { Problem } from "../api/problem";
import { patiently } from "./later";

test("a piece is asked for until it has come", async () => {
  let asked = 0;
  const load = async () => {
    asked += 1;
    if (asked < 3) throw new TypeError("Failed to fetch dynamically imported module");
    return "it";
  };
  expect(await patiently(load, [0, 0, 0])).toBe("it");
  expect(asked).toBe(3);
});

test("a piece that never comes says what to do", async () => {
  let asked = 0;
  const load = async () => {
    asked += 1;
    throw new TypeError("Failed to fetch dynamically imported module");
  };
  const error = await patiently(load, [0, 0]).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(Problem);
  expect((error as Problem).hint).toContain("Load the page again");
  expect(asked).toBe(3);
});
