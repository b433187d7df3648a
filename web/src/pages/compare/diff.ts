/** A comparison of two texts by lines, with a bound on what it may cost. */
import { diffArrays } from "diff";

export interface DiffLine {
  kind: "same" | "gone" | "added" | "gap";
  text: string;
}

export interface DiffResult {
  same: boolean;
  /** Whether a part wasn't compared. */
  cut: boolean;
  lines: DiffLine[];
}

const MOST_BYTES = 2_000_000;
const LONGEST_LINE = 400;
/** Lines around a difference that are shown. */
const AROUND = 3;

export function compareTexts(before: string, after: string, cut: boolean, timeout = 3_000): DiffResult {
  if (before === after && !cut) return { same: true, cut, lines: [] };
  const ends = before.endsWith("\n") && after.endsWith("\n") ? -1 : undefined;
  const one = before.slice(0, ends).split("\n");
  const other = after.slice(0, ends).split("\n");
  const parts = diffArrays(one, other, { timeout });
  const lines: DiffLine[] = [];
  const put = (kind: DiffLine["kind"], texts: string[]): void => {
    for (const text of texts) {
      lines.push({ kind, text: text.length > LONGEST_LINE ? `${text.slice(0, LONGEST_LINE)}…` : text });
    }
  };
  if (!parts) {
    // Too different to be worked out: one after the other.
    put("gone", one.slice(0, 5_000));
    put("added", other.slice(0, 5_000));
    return { same: false, cut: true, lines };
  }
  parts.forEach((part, at) => {
    if (part.added || part.removed) {
      put(part.added ? "added" : "gone", part.value);
      return;
    }
    const first = at === 0;
    const last = at === parts.length - 1;
    const { value } = part;
    if (value.length <= AROUND * 2 + 1) {
      put("same", value);
      return;
    }
    if (!first) put("same", value.slice(0, AROUND));
    const left = value.length - (first ? 0 : AROUND) - (last ? 0 : AROUND);
    put("gap", [`${left} lines are the same`]);
    if (!last) put("same", value.slice(-AROUND));
  });
  return { same: !parts.some((part) => part.added || part.removed), cut, lines };
}

export function compareAny(before: string | Uint8Array, after: string | Uint8Array): DiffResult {
  const cut = before.length > MOST_BYTES || after.length > MOST_BYTES;
  const text = (value: string | Uint8Array): string =>
    typeof value === "string"
      ? value.slice(0, MOST_BYTES)
      : new TextDecoder().decode(value.subarray(0, MOST_BYTES));
  return compareTexts(text(before), text(after), cut);
}
