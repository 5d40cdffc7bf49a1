/** Looking things up in stretches and moments, which lie in the order of time. */

import type { Moments, Stretches } from "./recording";

/** The first place whose value is greater than `value`. */
export function after(values: Float64Array, value: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle] ?? 0) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The first stretch that ends after `time`. */
export function firstAfter(of: Stretches, time: number): number {
  return after(of.to, time);
}

/** The stretch that `time` lies in, or -1. */
export function at(of: Stretches, time: number): number {
  const place = firstAfter(of, time);
  return (of.from[place] ?? Infinity) <= time ? place : -1;
}

/** The last moment that is not after `time`, or -1. */
export function lastBefore(of: Moments, time: number): number {
  return after(of.at, time) - 1;
}

/** How much of the time until `time` counts, where `before` are the sums at the beginnings of the stretches. */
export function until(of: Stretches, before: Float64Array, time: number): number {
  const place = firstAfter(of, time);
  const whole = before[place] ?? 0;
  const from = of.from[place] ?? Infinity;
  const counts = (before[place + 1] ?? whole) > whole;
  return counts && time > from ? whole + time - from : whole;
}
