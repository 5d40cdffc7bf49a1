/** What there is to say of one moment of one lane. Pure: a recording and a moment in, lines out. */

import { HOLDS, stateOf, WANTS, type Gil, type Recording, type State } from "./data/recording";
import { at, firstAfter, lastBefore } from "./data/search";
import { share, time } from "./text";

export interface Description {
  /** The thread or GIL. */
  readonly title: string;
  /** For its colour; undefined where nothing is known. */
  readonly state: State | undefined;
  readonly label: string;
  /** When, relative to the recording's beginning, and for how long. */
  readonly when: string;
  /** What else: a name and what it is. */
  readonly lines: readonly (readonly [name: string, text: string])[];
  /** Places in Python code, the innermost first. */
  readonly stack: readonly string[];
}

/** More calls than these do not help. */
const DEEPEST = 12;
/** Those who held a GIL meanwhile, the longest first: so many. */
const HOLDERS = 3;

/** What to call a thread. */
export function threadName(recording: Recording, key: number): string {
  return recording.threads[key]?.name ?? "unknown thread";
}

/** What a thread did at a moment. */
export function ofThread(recording: Recording, key: number, now: number): Description | undefined {
  const thread = recording.threads[key];
  if (!thread) return undefined;
  const title = threadName(recording, key);
  const lines: [string, string][] = [];
  const task = taskAt(recording, key, now);
  if (task >= 0) {
    const name = recording.names[thread.tasks.what[task] ?? 0] ?? "";
    const length = (thread.tasks.to[task] ?? 0) - (thread.tasks.from[task] ?? 0);
    lines.push(["task", `${name} #${thread.tasks.id[task] ?? 0}, ${time(length)}`]);
  }
  const place = at(thread.spans, now);
  const kind = place < 0 ? undefined : recording.kinds[thread.spans.what[place] ?? 0];
  if (!kind) {
    const gap = recording.gaps.some(([from, to]) => from <= now && now < to);
    const label = gap ? "nobody looked" : beyond(thread, now) ?? "nothing was seen";
    return { title, state: undefined, label, when: `at ${time(now)}`, lines, stack: [] };
  }
  const from = thread.spans.from[place] ?? 0;
  const to = thread.spans.to[place] ?? 0;
  const state = recording.states[kind.state];
  if (kind.call !== null) lines.push(["system call", kind.call]);
  if (state?.word === WANTS) lines.push(...holders(recording, thread.process, key, from, to));
  const shot = recording.shots.find((shot) => shot.thread === key && shot.at >= from && shot.at < to);
  if (shot) lines.push(["C function", shot.function ?? shot.natives[0] ?? "without a name"]);
  return {
    title,
    state,
    label: state?.label ?? "",
    when: `for ${time(to - from)}, from ${time(from)}`,
    lines,
    stack: stackAt(recording, key, now, from, state !== undefined && !HOLDS.has(state.word)),
  };
}

/** Who had a GIL at a moment. */
export function ofGil(recording: Recording, key: number, now: number): Description | undefined {
  const gil = recording.gils[key];
  if (!gil) return undefined;
  const place = at(gil.holds, now);
  if (place < 0) return { title: gil.title, state: undefined, label: "free", when: `at ${time(now)}`, lines: [], stack: [] };
  const from = gil.holds.from[place] ?? 0;
  const holder = gil.holds.what[place] ?? 0;
  return {
    title: gil.title,
    state: stateOf(recording, "holds-python"),
    label: holder === 0 ? "held by a thread that could not be told" : `held by ${threadName(recording, holder - 1)}`,
    when: `for ${time((gil.holds.to[place] ?? 0) - from)}, from ${time(from)}`,
    lines: [],
    stack: holder === 0 ? [] : stackAt(recording, holder - 1, now, from, false),
  };
}

/** The task that a thread ran at a moment, the innermost; -1 if none. */
export function taskAt(recording: Recording, key: number, now: number): number {
  const tasks = recording.threads[key]?.tasks;
  if (!tasks) return -1;
  let found = -1;
  for (let place = 0; place < tasks.what.length && (tasks.from[place] ?? 0) <= now; place += 1) {
    if ((tasks.to[place] ?? 0) > now) found = place;
  }
  return found;
}

function beyond(thread: { found: number; ended: number | null }, now: number): string | undefined {
  if (now < thread.found) return "not begun yet";
  return thread.ended !== null && now >= thread.ended ? "ended" : undefined;
}

/** Who had the GIL while a thread waited for it, and for how much of that time. */
function holders(recording: Recording, process: number, waiter: number, from: number, to: number): [string, string][] {
  const by = new Map<number, number>();
  for (const gil of recording.gils) {
    if (gil.process === process) addHolders(gil, from, to, by);
  }
  by.delete(waiter + 1);
  const most = [...by].sort((a, b) => b[1] - a[1]).slice(0, HOLDERS);
  return most.map(([holder, held]) => {
    const name = holder === 0 ? "a thread that could not be told" : threadName(recording, holder - 1);
    return ["the GIL had", `${name}, ${share(held / (to - from))} of the time`];
  });
}

function addHolders(gil: Gil, from: number, to: number, by: Map<number, number>): void {
  for (let place = firstAfter(gil.holds, from); place < gil.holds.what.length; place += 1) {
    const begin = gil.holds.from[place] ?? 0;
    if (begin >= to) break;
    const held = Math.min(gil.holds.to[place] ?? 0, to) - Math.max(begin, from);
    const holder = gil.holds.what[place] ?? 0;
    by.set(holder, (by.get(holder) ?? 0) + held);
  }
}

/** The Python calls of a thread at a moment. A thread that stays where it is, is not looked at again. */
function stackAt(recording: Recording, key: number, now: number, since: number, stays: boolean): string[] {
  const thread = recording.threads[key];
  if (!thread) return [];
  // A stack that was taken a little later, but while the thread did the same, is as good.
  let place = lastBefore(thread.stacks, now);
  const next = thread.stacks.at[place + 1];
  const at = thread.stacks.at[place];
  const old = at === undefined || (now - at > recording.patience && !(stays && at >= since));
  if (old) {
    if (next === undefined || next - now > recording.patience) return [];
    place += 1;
  }
  const frames = recording.stacks[thread.stacks.what[place] ?? 0] ?? [];
  const places = frames.map((frame) => {
    const [name, file, line] = recording.frames[frame] ?? ["?", "", 0];
    return `${name}  ${file.split("/").slice(-2).join("/")}${line > 0 ? `:${line}` : ""}`;
  });
  return places.length > DEEPEST ? [...places.slice(0, DEEPEST), `… ${places.length - DEEPEST} more`] : places;
}
