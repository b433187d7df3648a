import { expect, test } from "vitest";
import { mayBeShown, pictureHeader } from "./header";

const bytes = (...parts: (string | number[])[]) =>
  Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === "string" ? [...part].map((character) => character.charCodeAt(0)) : part,
    ),
  );

test("a PNG's size is read, and a bomb refused", () => {
  const png = (width: number[], height: number[]) =>
    bytes("\x89PNG\r\n\x1a\n", [0, 0, 0, 13], "IHDR", width, height);
  expect(pictureHeader(png([0, 0, 1, 0], [0, 0, 0, 9]))).toEqual({
    type: "image/png",
    width: 256,
    height: 9,
  });
  const bomb = pictureHeader(png([0, 0, 0xff, 0xff], [0, 0, 0xff, 0xff]));
  expect(bomb && mayBeShown(bomb)).toBe(false);
});

test("a GIF's largest frame counts, not only its screen", () => {
  const gif = bytes("GIF89a", [1, 0, 1, 0, 0, 0, 0], [0x2c, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], [2, 0]);
  const header = pictureHeader(gif);
  expect(header).toEqual({ type: "image/gif", width: 65535, height: 65535 });
  expect(header && mayBeShown(header)).toBe(false);
});

test("a JPEG's frame is found behind other markers", () => {
  const jpeg = bytes(
    [0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0],
    [0xff, 0xc2, 0, 11, 8, 0, 100, 0, 200, 1, 0, 0, 0],
    [0xff, 0xda],
  );
  expect(pictureHeader(jpeg)).toEqual({ type: "image/jpeg", width: 200, height: 100 });
});

test("WebP in its three kinds", () => {
  const webp = (...rest: (string | number[])[]) => bytes("RIFF", [0, 0, 0, 0], "WEBP", ...rest);
  const extended = webp("VP8X", [10, 0, 0, 0], [0, 0, 0, 0], [0xff, 0, 0], [0x0f, 0, 0]);
  expect(pictureHeader(extended)).toEqual({ type: "image/webp", width: 256, height: 16 });
  const lossy = webp("VP8 ", [0, 0, 0, 0], [0, 0, 0], [0x9d, 1, 0x2a], [64, 0, 32, 0]);
  expect(pictureHeader(lossy)).toEqual({ type: "image/webp", width: 64, height: 32 });
  const lossless = webp("VP8L", [0, 0, 0, 0], [0x2f], [0x63, 0xc0, 0x18, 0]);
  expect(pictureHeader(lossless)).toEqual({ type: "image/webp", width: 100, height: 100 });
});

test("SVG, HTML, cut off and empty bytes are no picture", () => {
  for (const text of [
    "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "<!doctype html>",
    "\x89PNG\r\n",
    "GIF89a",
    "",
  ]) {
    expect(pictureHeader(bytes(text))).toBeNull();
  }
});
