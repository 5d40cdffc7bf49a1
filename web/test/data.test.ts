import assert from "node:assert/strict";
import { test } from "node:test";

import { Numbers } from "../src/data/bytes";
import { sums } from "../src/data/recording";
import { at, firstAfter, lastBefore, until } from "../src/data/search";
import { moment, time } from "../src/text";
import { View } from "../src/view";
import { mean } from "../src/plots";

const two = { from: Float64Array.of(10, 30), to: Float64Array.of(20, 40), what: Uint32Array.of(0, 1) };

test("numbers are read as they were written", () => {
  const bytes = Uint8Array.of(0, 127, 0x80, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f);
  const numbers = new Numbers(bytes);
  assert.deepEqual([numbers.next(), numbers.next(), numbers.next(), numbers.next()], [0, 127, 128, 2 ** 53 - 1]);
  assert.throws(() => numbers.next(), /ends too early/);
});

test("stretches are found by time", () => {
  assert.deepEqual([5, 10, 19, 20, 30, 40].map((now) => at(two, now)), [-1, 0, 0, -1, 1, -1]);
  assert.equal(firstAfter(two, 20), 1);
  assert.equal(lastBefore({ at: Float64Array.of(5, 7), what: Uint32Array.of(0, 0) }, 6), 0);
});

test("time that counts is summed up to any moment", () => {
  const before = sums(two, (what) => what === 1);
  assert.deepEqual([0, 15, 25, 35, 50].map((now) => until(two, before, now)), [0, 0, 0, 5, 10]);
});

test("a view stays within what there is", () => {
  const view = new View(0, 1000);
  view.show(-100, 100);
  assert.deepEqual([view.from, view.to], [0, 200]);
  view.pan(-1);
  assert.deepEqual([view.from, view.to], [0, 200]);
  view.pan(100);
  assert.deepEqual([view.from, view.to], [800, 1000]);
  view.zoom(100);
  assert.ok(view.isWhole);
  view.zoom(1e-9, 400);
  assert.ok(view.length >= 20 && view.from <= 400 && view.to >= 400);
});

test("a view of all goes with a recording that grows, another stays", () => {
  const view = new View(0, 1000);
  view.bound(100, 1100);
  assert.deepEqual([view.from, view.to], [100, 1100]);
  view.show(200, 300);
  view.bound(250, 1200);
  assert.deepEqual([view.from, view.to], [250, 350]);
});

test("a curve's mean is of what is known", () => {
  assert.equal(mean([1, 3, null, 5], 10, 0, 20), 2);
  assert.equal(mean([1, 3, null, 5], 10, 15, 40), 13 / 3);
  assert.equal(mean([1, null], 10, 10, 20), null);
  assert.equal(mean([], 10, 0, 5), null);
});

test("times are short", () => {
  assert.deepEqual([0, 12, 3200, 45_600, 1.25e6, 300e6, 7260e6].map(time), ["0 s", "12 µs", "3.20 ms", "45.6 ms", "1.25 s", "5 min 00 s", "2 h 01 min"]);
  assert.deepEqual([moment(1500, 500), moment(2e6, 1e6), moment(12_345_678, 1000), moment(500, 5)], ["1.5 ms", "2 s", "12.3457 s", "500 µs"]);
});
