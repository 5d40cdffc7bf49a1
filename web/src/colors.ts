/**
 * What states look like. Those that matter have the colours of Okabe and Ito ("Color Universal Design", 2008), which people with
 * any kind of colour vision tell apart; those in which a thread rests are pale, each lighter or darker than its neighbours.
 */

export type Theme = "light" | "dark";

type Pair = readonly [light: string, dark: string];

const STATES: Readonly<Record<string, Pair>> = {
  "holds-python": ["#009e73", "#12b587"],
  "holds-native": ["#d55e00", "#f0701a"],
  "holds-blocked": ["#b5558c", "#d77fb0"],
  "holds-gc": ["#d9c400", "#f0e442"],
  waits: ["#f2a93b", "#e69f00"],
  "hands-off": ["#f7d08a", "#a8740a"],
  native: ["#0072b2", "#4aa3df"],
  runnable: ["#3a3f47", "#c6ccd4"],
  network: ["#b7d3e8", "#2f4a60"],
  disk: ["#dcc9a8", "#544a36"],
  poll: ["#d5dde4", "#2b333c"],
  sleep: ["#e6eaee", "#242a31"],
  lock: ["#cfc4e0", "#40385a"],
  child: ["#d3dcc3", "#3a4431"],
  attached: ["#009e73", "#12b587"],
  detached: ["#0072b2", "#4aa3df"],
  unknown: ["#f1f3f5", "#1d2228"],
};

const TASKS: readonly Pair[] = [
  ["#56789a", "#7d9fc0"],
  ["#8c6d9b", "#ad8fbd"],
  ["#6d8a5a", "#92b07e"],
  ["#a0795a", "#c39b7a"],
  ["#5a8d8d", "#7fb2b2"],
  ["#94707a", "#b8939d"],
];

/** The colour of a state. */
export function colorOf(word: string, theme: Theme): string {
  const pair = STATES[word] ?? STATES["unknown"];
  return pair ? pair[theme === "light" ? 0 : 1] : "#000000";
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
