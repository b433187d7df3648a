/**
 * A guest's output as rows of bounded length. The bytes stay bytes; of the rows only every sixteenth is remembered,
 * with the style that it begins with, so that 10 MB cost little more than 10 MB and any row is found at once.
 */
import { afterSgr } from "./ansi";

export type StreamName = "stdout" | "stderr";

export interface Span {
  text: string;
  style: number;
}

export interface Row {
  /** The line's number from 1; `null` where the row goes on with a line. */
  line: number | null;
  stream: StreamName;
  spans: Span[];
}

interface Place {
  at: number;
  style: number;
  line: number;
  /** Whether a new line begins here. */
  fresh: boolean;
}

const EVERY = 16;
const LONGEST_SEQUENCE = 64;
const ESC = 0x1b;
const LF = 0x0a;
const CR = 0x0d;

/** The end of `ESC [ … m` at a place; 0 where there is none, -1 where more bytes have to come to tell. */
function sgrEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at + 1 >= end) return -1;
  if (bytes[at + 1] !== 0x5b) return 0;
  for (let next = at + 2; next < end && next < at + LONGEST_SEQUENCE; next++) {
    const byte = bytes[next] ?? 0;
    if (byte === 0x6d) return next + 1;
    const parameter = (byte >= 0x30 && byte <= 0x39) || byte === 0x3b || byte === 0x3a;
    if (!parameter) return 0;
  }
  return at + LONGEST_SEQUENCE > end ? -1 : 0;
}

export class OutputRows {
  #bytes: Uint8Array = new Uint8Array(4096);
  #length = 0;
  #marks: Place[] = [];
  /** Where the next row begins. */
  #next: Place = { at: 0, style: 0, line: 1, fresh: true };
  #rows = 0;
  /** Where the stream changes, and to which. */
  #turns: { at: number; stream: StreamName }[] = [];
  #ended = false;

  constructor(
    /** The most characters of a row. */
    readonly columns = 400,
  ) {}

  /** Rows that can be shown; a last line without its end is one of them. */
  get count(): number {
    return this.#rows + (this.#tail() ? 1 : 0);
  }
  get length(): number {
    return this.#length;
  }
  get lines(): number {
    const tail = this.#tail();
    return this.#next.line - (this.#next.fresh && !tail ? 1 : 0);
  }

  #tail(): boolean {
    return this.#next.at < this.#length;
  }

  /** Takes bytes; `index` has to be called for them to become rows. */
  append(bytes: Uint8Array, stream: StreamName = "stdout"): void {
    if (bytes.length === 0) return;
    if (this.#length === 0 && bytes.length >= this.#bytes.length) {
      // The first bytes are taken as they are; they are written to by nobody, nor here.
      this.#bytes = bytes;
      this.#length = bytes.length;
      this.#turns.push({ at: 0, stream });
      return;
    }
    if (this.#length + bytes.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    if (this.#turns.at(-1)?.stream !== stream) this.#turns.push({ at: this.#length, stream });
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Says that no more comes, so that half a sequence at the end is text. */
  end(): void {
    this.#ended = true;
  }

  /** Makes rows for about this many bytes more; gives whether there is more to do. */
  index(most = Infinity): boolean {
    const until = this.#next.at + most;
    while (this.#next.at < this.#length) {
      if (this.#next.at >= until) return true;
      const after = this.#step(this.#next, null);
      if (after === null) return false;
      if (this.#rows % EVERY === 0) this.#marks.push(this.#next);
      this.#rows++;
      this.#next = after;
    }
    return false;
  }

  /** The rows from one to before another. */
  read(from: number, to: number): Row[] {
    const rows: Row[] = [];
    const mark = Math.floor(from / EVERY);
    let place = this.#marks[mark] ?? this.#next;
    let number = this.#marks[mark] ? mark * EVERY : this.#rows;
    while (number < to && place.at < this.#length) {
      const spans: Span[] = [];
      const after = this.#step(place, spans, true);
      if (after === null) break;
      if (number >= from) {
        rows.push({
          line: place.fresh ? place.line : null,
          stream: this.#streamAt(place.at),
          spans,
        });
      }
      place = after;
      number++;
    }
    return rows;
  }

  /** A copy of all the bytes. */
  bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes.subarray(0, this.#length));
  }

  /** The last turn at or before a place. */
  #turn(at: number): number {
    let low = 0;
    let high = this.#turns.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#turns[middle]?.at ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #streamAt(at: number): StreamName {
    return this.#turns[this.#turn(at)]?.stream ?? "stdout";
  }

  /**
   * Goes over one row and gives where the next one begins; `null` where the row isn't whole yet. With `spans`, what
   * is in it is put there; with `anyway`, a row that isn't whole is taken as it is.
   */
  #step(from: Place, spans: Span[] | null, anyway = false): Place | null {
    const bytes = this.#bytes;
    const turn = this.#turns[this.#turn(from.at) + 1]?.at ?? Infinity;
    const end = Math.min(this.#length, turn);
    // Bytes of another stream follow: nothing more comes to this row.
    const closed = turn <= this.#length || this.#ended || anyway;
    let style = from.style;
    let at = from.at;
    let begun = at;
    let columns = 0;
    const put = (to: number): void => {
      if (spans && to > begun) spans.push({ text: decode(bytes.subarray(begun, to)), style });
    };
    while (at < end) {
      const byte = bytes[at] ?? 0;
      if (byte === LF) {
        put(at > begun && bytes[at - 1] === CR ? at - 1 : at);
        return { at: at + 1, style, line: from.line + 1, fresh: true };
      }
      if (byte === ESC) {
        const over = sgrEnd(bytes, at, end);
        if (over < 0 && !closed) return null;
        if (over > 0) {
          put(at);
          style = afterSgr(style, ascii(bytes.subarray(at + 2, over - 1)));
          at = over;
          begun = at;
          // Sequences count, so that a row never has more elements than can be drawn at once.
          columns += 4;
          if (columns < this.columns) continue;
          return { at, style, line: from.line, fresh: false };
        }
      } else if (byte === CR && bytes[at + 1] !== LF && at + 1 < end) {
        // A terminal would write over the line; here the reader sees both, one below the other.
        put(at + 1);
        return { at: at + 1, style, line: from.line, fresh: false };
      }
      if ((byte & 0xc0) !== 0x80) {
        if (columns >= this.columns) {
          put(at);
          return { at, style, line: from.line, fresh: false };
        }
        columns += byte < 0x20 && byte !== 0x09 ? 4 : 1;
      } else {
        // Continuation bytes without end aren't text: a row of them ends, too.
        if (columns >= this.columns + 4) {
          put(at);
          return { at, style, line: from.line, fresh: false };
        }
        columns += 0.25;
      }
      at++;
    }
    if (!closed) return null;
    put(at);
    return { at, style, line: from.line, fresh: false };
  }
}

const text = new TextDecoder("utf-8", { ignoreBOM: true });

function decode(bytes: Uint8Array): string {
  return text.decode(bytes);
}

function ascii(bytes: Uint8Array): string {
  let all = "";
  for (const byte of bytes) all += String.fromCharCode(byte);
  return all;
}
