import { expect, test } from "vitest";
import { examples } from "./examples";
import { fromFragment, known, toFragment } from "./sharing";

test("every example survives a link", async () => {
  for (const { specification } of examples) {
    const fragment = await toFragment(specification);
    expect(await fromFragment(`#${fragment}`)).toEqual(specification);
  }
});

test("what is broken is no specification", async () => {
  for (const text of ["", "#spec=", "#spec=%00", "#spec=AAAA", "#other=1", `#spec=${"A".repeat(200_000)}`]) {
    expect(await fromFragment(text)).toBeNull();
  }
});

test("a link that unpacks to too much is left unread", async () => {
  const fragment = await toFragment({ code: "a".repeat(5_000_000) });
  expect(fragment).not.toBeNull();
  expect(await fromFragment(fragment ?? "")).toBeNull();
});

test("fields that aren't known, or of another type, are left out", () => {
  expect(
    known({ code: 7, language: "python", idempotency_key: "x", limits: { memory: {} }, files: [1] }),
  ).toEqual({
    language: "python",
    limits: {},
    files: [],
  });
  expect(known([])).toBeNull();
});
