/** Which lanes are shown, and where: under each process its GILs and its threads. Heights are CSS pixels. */

import { RESTS, type Recording } from "../data/recording";

export type Row = { readonly top: number; readonly height: number } & (
  | { readonly kind: "process"; readonly process: number }
  | { readonly kind: "gil"; readonly gil: number }
  | { readonly kind: "thread"; readonly thread: number; readonly hasTasks: boolean }
);

/** What the reader asked for. */
export interface Wanted {
  readonly text: string;
  readonly hideIdle: boolean;
  /** Processes that are folded. */
  readonly folded: ReadonlySet<number>;
}

export const HEIGHT = { process: 30, gil: 12, thread: 22, tasks: 11, gap: 3 } as const;

/** A thread that rested for all but this share of its time is idle. */
const IDLE = 0.002;

/** For each thread, whether it did hardly anything. */
export function idleThreads(recording: Recording): boolean[] {
  const rests = recording.kinds.map((kind) => RESTS.has(recording.states[kind.state]?.word ?? ""));
  return recording.threads.map(({ spans, tasks }) => {
    let busy = 0;
    let all = 0;
    for (let place = 0; place < spans.what.length; place += 1) {
      const length = (spans.to[place] ?? 0) - (spans.from[place] ?? 0);
      all += length;
      if (!rests[spans.what[place] ?? 0]) busy += length;
    }
    return tasks.what.length === 0 && busy <= all * IDLE;
  });
}

/** Everything that a lane can be found by, in small letters. */
export function wordsOf(recording: Recording): string[] {
  const places = recording.stacks.map((stack) =>
    stack.map((frame) => recording.frames[frame]?.slice(0, 2).join(" ") ?? "").join(" "),
  );
  return recording.threads.map((thread, key) => {
    const process = recording.processes[thread.process];
    const words = [thread.name, String(thread.tid), process?.name ?? "", process?.command ?? "", String(process?.pid ?? "")];
    for (const stack of new Set(thread.stacks.what)) words.push(places[stack] ?? "");
    for (const name of new Set(thread.tasks.what)) words.push(recording.names[name] ?? "");
    for (const shot of recording.shots) if (shot.thread === key) words.push(shot.function ?? "", ...shot.natives);
    return words.join("\n").toLowerCase();
  });
}

/** The rows from top to bottom. */
export function rowsOf(recording: Recording, wanted: Wanted, idle: readonly boolean[], words: readonly string[]): Row[] {
  const rows: Row[] = [];
  const text = wanted.text.trim().toLowerCase();
  let top = 0;
  const put = (row: { kind: "process"; process: number } | { kind: "gil"; gil: number }, height: number): void => {
    rows.push({ ...row, top, height });
    top += height;
  };
  // Of a program that is watched, what ended before the part that is shown is forgotten.
  const isOver = (one: { ended: number | null }): boolean => one.ended !== null && one.ended < recording.from;
  recording.processes.forEach((about, process) => {
    if (isOver(about)) return;
    const shown: number[] = [];
    recording.threads.forEach((thread, key) => {
      const fits = (text === "" || words[key]?.includes(text)) && !isOver(thread);
      if (thread.process === process && fits && !(wanted.hideIdle && text === "" && idle[key])) shown.push(key);
    });
    if (shown.length === 0 && text !== "") return;
    put({ kind: "process", process }, HEIGHT.process);
    if (wanted.folded.has(process)) return;
    recording.gils.forEach((gil, key) => {
      if (gil.process === process) put({ kind: "gil", gil: key }, HEIGHT.gil + HEIGHT.gap);
    });
    for (const thread of shown) {
      const hasTasks = (recording.threads[thread]?.tasks.what.length ?? 0) > 0;
      const height = HEIGHT.thread + HEIGHT.gap + (hasTasks ? HEIGHT.tasks : 0);
      rows.push({ kind: "thread", thread, hasTasks, top, height });
      top += height;
    }
  });
  return rows;
}

/** The height of all of them. */
export function heightOf(rows: readonly Row[]): number {
  const last = rows[rows.length - 1];
  return last ? last.top + last.height : 0;
}

/** The row at a height, or undefined. */
export function rowAt(rows: readonly Row[], y: number): Row | undefined {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = rows[middle];
    if (row && row.top + row.height > y) high = middle;
    else low = middle + 1;
  }
  const row = rows[low];
  return row && row.top <= y ? row : undefined;
}

