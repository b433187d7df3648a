import { expect, test } from "vitest";
import { stack } from "./stack";

test("each series stands upon those before it", () => {
  expect(
    stack([
      [1, null, 3],
      [2, 2, null],
      [0, 1, 1],
    ]),
  ).toEqual([
    [1, 0, 3],
    [3, 2, 3],
    [3, 3, 4],
  ]);
});
