/** Colours: those of states come with the recording, those of tasks are here. */

import type { State } from "./data/recording";

export type Theme = "light" | "dark";

type Pair = readonly [light: string, dark: string];

const TASKS: readonly Pair[] = [
  ["#56789a", "#7d9fc0"],
  ["#8c6d9b", "#ad8fbd"],
  ["#6d8a5a", "#92b07e"],
  ["#a0795a", "#c39b7a"],
  ["#5a8d8d", "#7fb2b2"],
  ["#94707a", "#b8939d"],
];

/** The colour of a state of the recording. */
export function colorOf(state: State | undefined, theme: Theme): string {
  return state?.[theme] ?? "#888888";
}

/** The colour of tasks of one function; those of others often differ. */
export function taskColor(name: number, theme: Theme): string {
  const pair = TASKS[name % TASKS.length];
  return pair ? pair[theme === "light" ? 0 : 1] : "#000000";
}

/** A colour as a pixel of `ImageData` on this machine: every browser's is little-endian. */
export function pixelOf(color: string): number {
  const rgb = parseInt(color.slice(1), 16);
  return ((0xff << 24) | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}
