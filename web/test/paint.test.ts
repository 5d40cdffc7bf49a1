import assert from "node:assert/strict";
import { test } from "node:test";

import { paintStrip, type Image } from "../src/lanes/paint";

/** Stretches drawn as letters, ten units of time each; a space is none. */
function lane(letters: string) {
  const found: [number, number, number][] = [];
  [...letters].forEach((letter, place) => {
    if (letter !== " ") found.push([place * 10, place * 10 + 10, letter.charCodeAt(0) - 97]);
  });
  return {
    from: Float64Array.from(found, ([from]) => from),
    to: Float64Array.from(found, ([, to]) => to),
    what: Uint32Array.from(found, ([, , what]) => what),
  };
}

/** Paints, and reads the pixels as letters, row by row. */
function painted(letters: string, width: number, height: number, from = 0, to = letters.length * 10): string[] {
  const image: Image = { pixels: new Uint32Array(width * height), width, height };
  const looks = { layer: Uint8Array.of(0, 1, 2), color: Uint32Array.of(1, 2, 3) };
  paintStrip(image, { top: 0, height }, { from, column: (to - from) / width }, lane(letters), looks);
  return Array.from({ length: height }, (_, row) =>
    Array.from(image.pixels.subarray(row * width, (row + 1) * width), (pixel) => " abc"[pixel]).join(""),
  );
}

test("a stretch fills the columns that it takes", () => {
  assert.deepEqual(painted("aabb c", 6, 1), ["aabb c"]);
  assert.deepEqual(painted("ab", 6, 1), ["aaabbb"]);
});

test("a column is divided among what happened in it", () => {
  // Three fifths are a, two fifths b: a lies below.
  assert.deepEqual(painted("abaab", 1, 5), ["b", "b", "a", "a", "a"]);
});

test("what was not seen of a column stays empty", () => {
  assert.deepEqual(painted("a   ", 1, 4), [" ", " ", " ", "a"]);
});

test("a view into the midst begins in the midst of a stretch", () => {
  assert.deepEqual(painted("aaabbb", 4, 1, 20, 40), ["aabb"]);
});

test("the briefest stretch is seen, if there is room", () => {
  const rows = painted(`${"a".repeat(500)}b${"a".repeat(499)}`, 1, 10);
  assert.equal(rows.filter((row) => row === "b").length, 1);
});

test("what lies outside of the view paints nothing", () => {
  assert.deepEqual(painted("aa", 3, 1, 100, 130), ["   "]);
});

test("many stretches take no longer than their number", () => {
  const count = 500_000;
  const letters = "abc".repeat(Math.ceil(count / 3));
  const rows = painted(letters, 1000, 20);
  assert.equal(rows.join("").includes(" "), false);
});
