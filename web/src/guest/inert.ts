/**
 * Makes a guest's characters harmless to a reader: what steers a terminal, turns the direction of text or can't be
 * seen becomes a visible mark. HTML is no danger here, because everything becomes a text node.
 */

export interface Piece {
  text: string;
  /** Whether it stands for a character that is not shown as itself. */
  mark: boolean;
}

/** Characters that are shown as a mark; the tab is not among them. */
const HIDDEN =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: single characters are meant, combining or not
  /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|[\ud800-\udfff]/gu;

/** Their names, because hardly any font has the pictures of them. */
const CONTROLS =
  "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(
    " ",
  );

function name(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return CONTROLS[code] ?? "";
  if (code === 0x7f) return "DEL";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Splits a text into pieces that may be shown. */
export function inert(text: string): Piece[] {
  const pieces: Piece[] = [];
  let shown = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (found.index > shown) pieces.push({ text: text.slice(shown, found.index), mark: false });
    const before = pieces.at(-1);
    // Many in a row are one mark: fewer elements to draw.
    if (before?.mark && found.index === shown) before.text += ` ${name(found[0])}`;
    else pieces.push({ text: name(found[0]), mark: true });
    shown = found.index + found[0].length;
  }
  if (shown < text.length) pieces.push({ text: text.slice(shown), mark: false });
  return pieces;
}

/** The same as one string, for places that can hold nothing else: titles, labels, names of files to save. */
export function inertText(text: string): string {
  return inert(text)
    .map((piece) => (piece.mark ? `\u27e8${piece.text}\u27e9` : piece.text))
    .join("");
}
