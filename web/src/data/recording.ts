/** A recording as the page holds it. Times are microseconds since the recording began. */

import type { Numbers } from "./bytes";

/** Stretches of time that follow each other and do not overlap. */
export interface Stretches {
  readonly from: Float64Array;
  readonly to: Float64Array;
  /** What each is, as a place in another list. */
  readonly what: Uint32Array;
}

/** A moment each, in the order of time. */
export interface Moments {
  readonly at: Float64Array;
  readonly what: Uint32Array;
}

/** Tasks in the order of their beginning. */
export interface Tasks extends Stretches {
  readonly id: Float64Array;
}

export interface Process {
  readonly pid: number;
  readonly name: string;
  readonly command: string;
  readonly python: string | null;
  readonly why: string | null;
  readonly found: number;
  readonly ended: number | null;
}

export interface Thread {
  readonly process: number;
  readonly tid: number;
  readonly name: string;
  readonly found: number;
  readonly ended: number | null;
  /** What it did: places in `kinds`. */
  readonly spans: Stretches;
  /** Where in Python it was: places in `stacks`. */
  readonly stacks: Moments;
  /** Tasks of plait's: places in `names`. */
  readonly tasks: Tasks;
  /** How long it had waited for a GIL until each span began. */
  readonly waited: Float64Array;
}

export interface Gil {
  readonly process: number;
  readonly title: string;
  /** Who had it: a thread and 1; 0 where nobody can tell. */
  readonly holds: Stretches;
  /** How long it had been held until each hold began. */
  readonly held: Float64Array;
}

export interface Shot {
  readonly thread: number;
  readonly at: number;
  readonly function: string | null;
  readonly natives: readonly string[];
}

/** What a thread can be doing: a state, and the system call it sleeps in. */
export interface Kind {
  readonly state: number;
  readonly call: string | null;
}

export interface State {
  readonly word: string;
  readonly label: string;
  /** Its colour on light and on dark ground, as `#rrggbb`. */
  readonly light: string;
  readonly dark: string;
}

/** Figures that are known from step to step: processors' worth of time, on average over each step. */
export interface Curves {
  readonly step: number;
  readonly cpu: readonly (number | null)[];
  readonly delay: readonly (number | null)[];
  readonly throttled: readonly (number | null)[];
}

export type Frame = readonly [name: string, file: string, line: number];

export interface Recording {
  readonly what: string;
  readonly length: number;
  /** Where the first view begins: what was forgotten lies before. */
  readonly from: number;
  readonly states: readonly State[];
  readonly kinds: readonly Kind[];
  readonly processes: readonly Process[];
  readonly threads: readonly Thread[];
  readonly gils: readonly Gil[];
  readonly frames: readonly Frame[];
  readonly stacks: readonly (readonly number[])[];
  /** For so long a stack is taken to hold without a next one. */
  readonly patience: number;
  readonly names: readonly string[];
  readonly shots: readonly Shot[];
  readonly gaps: readonly (readonly [from: number, to: number])[];
  readonly curves: Curves;
}

type Counted<T, K extends string> = Omit<T, K> & { readonly count: Record<K, number> };

/** The header, before the columns are read. */
interface Header extends Omit<Recording, "threads" | "gils"> {
  readonly threads: readonly (Omit<Thread, "spans" | "stacks" | "tasks" | "waited"> & {
    readonly count: Record<"spans" | "stacks" | "tasks", number>;
  })[];
  readonly gils: readonly Omit<Counted<Gil, "holds">, "held">[];
}

/** The states in which a thread has a GIL, and those in which it wants one. */
export const HOLDS: ReadonlySet<string> = new Set(["holds-python", "holds-native", "holds-blocked", "holds-gc"]);
export const WANTS = "waits";
/** States of a thread that rests: it has not asked for a processor. */
export const RESTS: ReadonlySet<string> = new Set(["network", "disk", "poll", "sleep", "lock", "child", "unknown"]);

/** The state of this word. */
export function stateOf(recording: Recording, word: string): State | undefined {
  return recording.states.find((state) => state.word === word);
}

function stretches(numbers: Numbers, count: number): Stretches {
  const from = new Float64Array(count);
  const to = new Float64Array(count);
  const what = new Uint32Array(count);
  // Gaps first, then lengths: like stands by like, which packs well.
  numbers.column(count, (place, gap) => {
    from[place] = gap;
  });
  let end = 0;
  numbers.column(count, (place, length) => {
    const begin = end + (from[place] ?? 0);
    from[place] = begin;
    end = begin + length;
    to[place] = end;
  });
  numbers.column(count, (place, value) => {
    what[place] = value;
  });
  return { from, to, what };
}

function moments(numbers: Numbers, count: number): Moments {
  const at = new Float64Array(count);
  const what = new Uint32Array(count);
  let now = 0;
  numbers.column(count, (place, step) => {
    now += step;
    at[place] = now;
  });
  numbers.column(count, (place, value) => {
    what[place] = value;
  });
  return { at, what };
}

function tasks(numbers: Numbers, count: number): Tasks {
  // They may lie within each other, so each beginning counts from the one before.
  const { at: from, what } = moments(numbers, count);
  const to = new Float64Array(count);
  const id = new Float64Array(count);
  numbers.column(count, (place, length) => {
    to[place] = (from[place] ?? 0) + length;
  });
  numbers.column(count, (place, value) => {
    id[place] = value;
  });
  return { from, to, what, id };
}

/** For each stretch, the time of those before it that count. */
export function sums(of: Stretches, counts: (what: number) => boolean): Float64Array {
  const before = new Float64Array(of.what.length + 1);
  for (let place = 0; place < of.what.length; place += 1) {
    const length = counts(of.what[place] ?? 0) ? (of.to[place] ?? 0) - (of.from[place] ?? 0) : 0;
    before[place + 1] = (before[place] ?? 0) + length;
  }
  return before;
}

/** Reads the header's description and the columns behind it. */
export function recordingOf(from: unknown, numbers: Numbers): Recording {
  // Written by the same build of plait as this script.
  const header = from as Header;
  const waits = header.kinds.map((kind) => header.states[kind.state]?.word === WANTS);
  const threads = header.threads.map(({ count, ...about }): Thread => {
    const spans = stretches(numbers, count.spans);
    const stacks = moments(numbers, count.stacks);
    const waited = sums(spans, (kind) => waits[kind] ?? false);
    return { ...about, spans, stacks, tasks: tasks(numbers, count.tasks), waited };
  });
  const gils = header.gils.map(({ count, ...about }): Gil => {
    const holds = stretches(numbers, count.holds);
    return { ...about, holds, held: sums(holds, () => true) };
  });
  return { ...header, threads, gils };
}
