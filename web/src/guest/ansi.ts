/**
 * The little of a terminal's language that the page speaks: colours and weights (`CSI … m`). Everything else that
 * steers a terminal stays visible as text. A style is packed into one number, so that a place in 10 MB of output
 * can be remembered cheaply.
 */

export const BOLD = 1 << 10;
export const DIM = 1 << 11;
export const ITALIC = 1 << 12;
export const UNDERLINE = 1 << 13;
export const STRIKE = 1 << 14;
export const INVERSE = 1 << 15;

const FLAGS: Record<number, number> = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: INVERSE, 9: STRIKE };
/** Colours are 0 (none) or 1 to 8, bits 0 to 4 for the text and 5 to 9 for the ground. */
const colourOf = (style: number, ground: boolean): number => (ground ? (style >> 5) & 31 : style & 31);
const withColour = (style: number, ground: boolean, colour: number): number =>
  ground ? (style & ~(31 << 5)) | (colour << 5) : (style & ~31) | colour;

/** The nearest of the theme's eight colours, which can be read on its ground; the guest's own may not be. */
function nearest(red: number, green: number, blue: number): number {
  const most = Math.max(red, green, blue);
  const least = Math.min(red, green, blue);
  if (most - least < 48) return most < 96 ? 1 : 8;
  const half = (most + least) / 2;
  return 1 + (red > half ? 1 : 0) + (green > half ? 2 : 0) + (blue > half ? 4 : 0);
}

function fromPalette(index: number): number {
  if (index < 16) return 1 + (index % 8);
  if (index >= 232) return index < 244 ? 1 : 8;
  const cube = index - 16;
  const level = (n: number): number => (n === 0 ? 0 : 55 + n * 40);
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

/** A style after `CSI parameters m`. What isn't understood changes nothing. */
export function afterSgr(style: number, parameters: string): number {
  const numbers = parameters.split(/[;:]/).map((text) => (text === "" ? 0 : Number(text)));
  let now = style;
  for (let at = 0; at < numbers.length; at++) {
    const code = numbers[at] ?? 0;
    if (code === 0) now = 0;
    else if (FLAGS[code]) now |= FLAGS[code] ?? 0;
    else if (code === 22) now &= ~(BOLD | DIM);
    else if (code >= 23 && code <= 29) now &= ~(FLAGS[code - 20] ?? 0);
    else if (code >= 30 && code <= 37) now = withColour(now, false, code - 29);
    else if (code === 39) now = withColour(now, false, 0);
    else if (code >= 40 && code <= 47) now = withColour(now, true, code - 39);
    else if (code === 49) now = withColour(now, true, 0);
    else if (code >= 90 && code <= 97) now = withColour(now, false, code - 89);
    else if (code >= 100 && code <= 107) now = withColour(now, true, code - 99);
    else if (code === 38 || code === 48) {
      const ground = code === 48;
      if (numbers[at + 1] === 5) {
        now = withColour(now, ground, fromPalette(Math.min(numbers[at + 2] ?? 0, 255)));
        at += 2;
      } else if (numbers[at + 1] === 2) {
        now = withColour(
          now,
          ground,
          nearest(numbers[at + 2] ?? 0, numbers[at + 3] ?? 0, numbers[at + 4] ?? 0),
        );
        at += 4;
      }
    }
  }
  return now;
}

/** The classes of a style. Text is never hidden: nothing conceals it, and no ground has its colour. */
export function classesOf(style: number): string {
  if (style === 0) return "";
  const names: string[] = [];
  let text = colourOf(style, false);
  let ground = colourOf(style, true);
  if (style & INVERSE) [text, ground] = [ground, text || 8];
  if (text) names.push(`t${text - 1}`);
  if (ground) names.push(`g${ground - 1}`);
  if (style & BOLD) names.push("bold");
  if (style & DIM) names.push("dim");
  if (style & ITALIC) names.push("italic");
  if (style & UNDERLINE) names.push("under");
  if (style & STRIKE) names.push("struck");
  return names.join(" ");
}
