import { expect, test } from "vitest";
import { Ring } from "./ring";

test("what is older than the bound is forgotten and counted", () => {
  const ring = new Ring<number>(3);
  ring.add([1, 2]);
  ring.add([3, 4, 5]);
  expect(ring.all).toEqual([3, 4, 5]);
  expect(ring.forgotten).toBe(2);
  const before = ring.all;
  ring.add([6]);
  expect(ring.all).not.toBe(before);
  ring.clear();
  expect(ring.all).toEqual([]);
  expect(ring.forgotten).toBe(0);
});
