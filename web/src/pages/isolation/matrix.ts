/** The attack suite's results as a table: a row for each property, a column for each backend. */
import type { AttackDetail, AttackRun, Property, Suite, Verdict } from "../../api/operator";

/** What is known of one property on one backend, and from which run. */
export interface Cell {
  property: Property;
  suite: Suite;
  run: AttackRun;
  kernel: string;
  policy: string;
}

export interface Row {
  id: string;
  group: string;
  statement: string;
  expected: string;
  references: string[];
}

export interface Matrix {
  /** In the order in which they first come. */
  groups: { name: string; rows: Row[] }[];
  /** By backend and property. */
  cells: Map<string, Map<string, Cell>>;
}

/** Each property's newest result on each backend: a run of a part replaces that part alone. `runs` come newest first. */
export function matrixOf(runs: AttackDetail[]): Matrix {
  const cells: Matrix["cells"] = new Map();
  const rows = new Map<string, Row>();
  // Whole runs tell the order of the suite, so the longest comes first.
  const suites = runs.flatMap((run) =>
    (run.report?.suites ?? []).map((suite) => ({ run, suite, report: run.report })),
  );
  for (const { suite } of [...suites].sort((a, b) => b.suite.properties.length - a.suite.properties.length)) {
    for (const { id, group, statement, expected, references } of suite.properties) {
      if (!rows.has(id)) rows.set(id, { id, group, statement, expected, references });
    }
  }
  for (const { run, suite, report } of suites) {
    let column = cells.get(suite.backend);
    if (!column) {
      column = new Map();
      cells.set(suite.backend, column);
    }
    for (const property of suite.properties) {
      if (column.has(property.id)) continue;
      column.set(property.id, {
        property,
        suite,
        run,
        kernel: report?.node.kernel ?? "",
        policy: report?.policy ?? "",
      });
    }
  }
  const groups = new Map<string, Row[]>();
  for (const row of rows.values()) {
    const group = groups.get(row.group);
    if (group) group.push(row);
    else groups.set(row.group, [row]);
  }
  return { groups: [...groups].map(([name, found]) => ({ name, rows: found })), cells };
}

export function counts(column: Map<string, Cell> | undefined): Record<Verdict, number> {
  const found: Record<Verdict, number> = { held: 0, breached: 0, inconclusive: 0, not_applicable: 0 };
  for (const { property } of column?.values() ?? []) found[property.verdict]++;
  return found;
}

/** The runs that have to be read: for each backend its newest ones, up to a bound. */
export function worthReading(runs: AttackRun[], most = 6): AttackRun[] {
  const taken = new Map<string, number>();
  return runs.filter(({ backend, state }) => {
    if (state !== "finished") return false;
    const before = taken.get(backend) ?? 0;
    taken.set(backend, before + 1);
    return before < most;
  });
}
