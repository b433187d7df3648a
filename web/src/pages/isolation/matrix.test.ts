import { expect, test } from "vitest";
import type { AttackDetail, Property, Verdict } from "../../api/operator";
import { counts, matrixOf, worthReading } from "./matrix";

function run(id: string, backend: string, verdicts: Record<string, Verdict>): AttackDetail {
  const properties = Object.entries(verdicts).map(
    ([property, verdict]): Property => ({
      id: property,
      group: property.split(".")[0] ?? "",
      statement: "",
      expected: "denied",
      references: [],
      verdict,
      reason: id,
      protected: null,
      control: null,
      held_by: null,
    }),
  );
  return {
    id,
    backend,
    state: "finished",
    created_at: "",
    finished_at: "",
    done: 0,
    total: 0,
    breached: 0,
    inconclusive: 0,
    held: 0,
    failure: null,
    report: {
      format: "",
      crucible_version: "",
      node: { kernel: "", user: "root" },
      policy: "default",
      verdict: "held",
      suites: [
        {
          backend,
          suite: "",
          attestation: null,
          started: "",
          took_ms: 0,
          counts: counts(undefined),
          properties,
        },
      ],
    },
  };
}

test("a newer run of a part replaces that part and nothing else", () => {
  const matrix = matrixOf([
    run("new", "jail", { "b.one": "breached" }),
    run("old", "jail", { "a.one": "held", "b.one": "held", "b.two": "held" }),
    run("other", "gvisor", { "a.one": "not_applicable" }),
  ]);
  expect(matrix.groups.map(({ name, rows }) => [name, rows.map(({ id }) => id)])).toEqual([
    ["a", ["a.one"]],
    ["b", ["b.one", "b.two"]],
  ]);
  expect(matrix.cells.get("jail")?.get("b.one")?.property.reason).toBe("new");
  expect(matrix.cells.get("jail")?.get("b.two")?.property.reason).toBe("old");
  expect(counts(matrix.cells.get("jail"))).toEqual({
    held: 2,
    breached: 1,
    inconclusive: 0,
    not_applicable: 0,
  });
});

test("only runs that came to their end are read, and not without bound", () => {
  const runs = [
    ...Array.from({ length: 4 }, (_, at) => run(String(at), "jail", {})),
    { ...run("x", "wasm", {}), state: "running" as const },
    run("w", "wasm", {}),
  ];
  expect(worthReading(runs, 2).map(({ id }) => id)).toEqual(["0", "1", "w"]);
});
