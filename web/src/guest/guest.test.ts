import { describe, expect, test } from "vitest";
import { afterSgr, BOLD, classesOf } from "./ansi";
import { inert, inertText } from "./inert";
import { OutputRows, type StreamName } from "./rows";

const encode = (text: string) => new TextEncoder().encode(text);
const shown = (rows: OutputRows) =>
  rows.read(0, rows.count).map((row) => row.spans.map((span) => span.text).join(""));

describe("colours", () => {
  test("they become classes, and a reset takes them away", () => {
    expect(classesOf(afterSgr(0, "1;31"))).toBe("t1 bold");
    expect(classesOf(afterSgr(afterSgr(0, "1;31"), ""))).toBe("");
    expect(afterSgr(BOLD, "22")).toBe(0);
  });
  test("those of a palette or of 24 bits become one of the theme's", () => {
    expect(classesOf(afterSgr(0, "38;2;255;0;0"))).toBe("t1");
    expect(classesOf(afterSgr(0, "38;5;46"))).toBe("t2");
    expect(classesOf(afterSgr(0, "48;5;21"))).toBe("g4");
  });
  test("nothing hides text", () => {
    expect(classesOf(afterSgr(0, "8"))).toBe("");
  });
  test("nonsense changes nothing that could be a class of its own", () => {
    for (const text of ["999999999999", "38", "38;5", "48;2;1", ";;;", "-1"]) {
      expect(classesOf(afterSgr(0, text))).toMatch(/^([tg][0-7]|bold|dim|italic|under|struck| )*$/);
    }
  });
});

describe("characters", () => {
  test("what turns text or can't be seen is a mark", () => {
    expect(inertText("a\u202eb\u200bc\u0007d")).toBe("a⟨U+202E⟩b⟨U+200B⟩c⟨BEL⟩d");
    expect(inertText("\u{e0041}")).toBe("⟨U+E0041⟩");
  });
  test("what can be read stays as it is", () => {
    expect(inert("für 日本 🙂\t!")).toEqual([{ text: "für 日本 🙂\t!", mark: false }]);
  });
});

describe("rows", () => {
  test("lines become rows with their numbers", () => {
    const rows = new OutputRows();
    rows.append(encode("one\ntwo\r\nthree"));
    rows.index();
    expect(shown(rows)).toEqual(["one", "two", "three"]);
    expect(rows.read(0, 3).map((row) => row.line)).toEqual([1, 2, 3]);
    expect(rows.lines).toBe(3);
  });
  test("a huge line is cut, and no character with it", () => {
    const rows = new OutputRows(10);
    rows.append(encode("ä".repeat(25)));
    rows.index();
    const parts = shown(rows);
    expect(parts.join("")).toBe("ä".repeat(25));
    expect(parts.every((part) => !part.includes("\ufffd"))).toBe(true);
    expect(rows.read(0, rows.count).map((row) => row.line)).toEqual([1, ...parts.slice(1).map(() => null)]);
  });
  test("a style goes on over rows that are read by themselves", () => {
    const rows = new OutputRows();
    rows.append(encode(`\u001b[31m${"x\n".repeat(100)}`));
    rows.index();
    expect(classesOf(rows.read(57, 58)[0]?.spans[0]?.style ?? 0)).toBe("t1");
  });
  test("pieces in any cut give the same rows", () => {
    const all = encode("a\u001b[1;32mbä\u001b[0mc\n\u001b]0;title\u0007x\r\nlast \u001b[2J");
    const whole = new OutputRows();
    whole.append(all);
    whole.end();
    whole.index();
    for (let size = 1; size < 9; size++) {
      const rows = new OutputRows();
      for (let at = 0; at < all.length; at += size) {
        rows.append(all.subarray(at, at + size));
        rows.index();
      }
      rows.end();
      rows.index();
      expect(rows.read(0, rows.count)).toEqual(whole.read(0, whole.count));
    }
  });
  test("two streams in one line are two rows", () => {
    const rows = new OutputRows();
    const write = (text: string, stream: StreamName) => rows.append(encode(text), stream);
    write("out ", "stdout");
    write("err\n", "stderr");
    write("out\n", "stdout");
    rows.index();
    expect(rows.read(0, 9).map((row) => row.stream)).toEqual(["stdout", "stderr", "stdout"]);
    expect(shown(rows)).toEqual(["out ", "err", "out"]);
  });
  test("what isn't UTF-8 is shown as such and kept exactly", () => {
    const rows = new OutputRows();
    const bytes = new Uint8Array([0x61, 0xff, 0xfe, 0x80, 0x62, 0x0a]);
    rows.append(bytes);
    rows.index();
    expect(shown(rows)).toEqual(["a\ufffd\ufffd\ufffdb"]);
    expect(rows.bytes()).toEqual(bytes);
  });
  test("ten megabytes are indexed in pieces, each in a moment", () => {
    const rows = new OutputRows();
    rows.append(encode("0123456789abcdef\n".repeat(620_000)));
    const took: number[] = [];
    for (let more = true; more; ) {
      const begun = performance.now();
      more = rows.index(262_144);
      took.push(performance.now() - begun);
    }
    expect(rows.count).toBe(620_000);
    // Most of them: what else the machine does can hold up any one.
    expect(took.sort((one, other) => one - other)[Math.floor(took.length / 2)]).toBeLessThan(50);
  });
  test("a megabyte of continuation bytes or of colours still has bounded rows", () => {
    for (const piece of [new Uint8Array(1_000_000).fill(0x80), encode("\u001b[1m".repeat(250_000))]) {
      const rows = new OutputRows();
      rows.append(piece);
      rows.end();
      rows.index();
      expect(rows.count).toBeGreaterThan(20);
    }
  });
});
