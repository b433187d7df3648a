/**
 * Which bytes may be shown as a picture: PNG, JPEG, WebP and GIF by what they begin with, and no more than 16
 * megapixels by what their header says, read before a decoder sees them. Everything else (SVG and HTML, too) is text.
 */

export interface PictureHeader {
  type: "image/png" | "image/jpeg" | "image/webp" | "image/gif";
  width: number;
  height: number;
}

export const MOST_PIXELS = 16_000_000;

function starts(bytes: Uint8Array, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if (bytes[at + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

export function pictureHeader(bytes: Uint8Array): PictureHeader | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (starts(bytes, 0, "\x89PNG\r\n\x1a\n") && starts(bytes, 12, "IHDR")) {
      return { type: "image/png", width: view.getUint32(16), height: view.getUint32(20) };
    }
    if (starts(bytes, 0, "GIF87a") || starts(bytes, 0, "GIF89a")) {
      return gif(view);
    }
    if (starts(bytes, 0, "RIFF") && starts(bytes, 8, "WEBP")) return webp(bytes, view);
    if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return jpeg(view);
  } catch {
    // The header is cut off.
  }
  return null;
}

/** The screen, or a frame that is larger than it. */
function gif(view: DataView): PictureHeader {
  let width = view.getUint16(6, true);
  let height = view.getUint16(8, true);
  const table = (flags: number): number => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + table(view.getUint8(10));
  while (at < view.byteLength) {
    const block = view.getUint8(at);
    if (block === 0x2c) {
      width = Math.max(width, view.getUint16(at + 1, true) + view.getUint16(at + 5, true));
      height = Math.max(height, view.getUint16(at + 3, true) + view.getUint16(at + 7, true));
      at += 10 + table(view.getUint8(at + 9)) + 1;
    } else if (block === 0x21) at += 2;
    else break;
    while (at < view.byteLength && view.getUint8(at) !== 0) at += view.getUint8(at) + 1;
    at++;
  }
  return { type: "image/gif", width, height };
}

function webp(bytes: Uint8Array, view: DataView): PictureHeader | null {
  const type = "image/webp";
  if (starts(bytes, 12, "VP8X")) {
    const three = (at: number): number => 1 + (view.getUint16(at, true) | (view.getUint8(at + 2) << 16));
    return { type, width: three(24), height: three(27) };
  }
  if (starts(bytes, 12, "VP8L") && view.getUint8(20) === 0x2f) {
    const bits = view.getUint32(21, true);
    return { type, width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  if (starts(bytes, 12, "VP8 ") && view.getUint8(23) === 0x9d) {
    return { type, width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  }
  return null;
}

/** The largest frame that a marker before the picture's data tells. */
function jpeg(view: DataView): PictureHeader | null {
  let at = 2;
  let found: PictureHeader | null = null;
  while (at + 4 <= view.byteLength) {
    if (view.getUint8(at) !== 0xff) return found;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker === 0xda || marker === 0xd9) return found;
    const frame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (frame) {
      const height = view.getUint16(at + 5);
      const width = view.getUint16(at + 7);
      // A height of 0 is told after the data: unknown, so not shown.
      if (width === 0 || height === 0) return null;
      if (!found || width * height > found.width * found.height)
        found = { type: "image/jpeg", width, height };
    }
    at += 2 + view.getUint16(at + 2);
  }
  return found;
}

export function mayBeShown(header: PictureHeader): boolean {
  return header.width > 0 && header.height > 0 && header.width * header.height <= MOST_PIXELS;
}
