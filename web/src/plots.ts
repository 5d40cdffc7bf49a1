/** The two curves above the lanes: who has a GIL and who waits for one; processors in use, wanted, and taken away. */

import uPlot from "uplot";

import type { Recording } from "./data/recording";
import { until } from "./data/search";
import { moment } from "./text";
import type { View } from "./view";

const HEIGHT = 118;
/** A point for so many pixels. */
const STEP = 2;

/** What the curves tell of the pointer that is on them: a moment, or nothing. */
export type OnPoint = (now: number | undefined) => void;

export interface Plot {
  readonly element: HTMLElement;
  resize(width: number, gutter: number): void;
  draw(): void;
  /** The pointer is at a moment of the lanes, or off them. */
  point(now: number | undefined): void;
  /** The recording has changed. */
  renew(recording: Recording): void;
}

interface Curve {
  readonly label: string;
  readonly color: string;
  readonly fill?: boolean;
  /** Its mean between two moments; null where it is not known. */
  readonly between: (recording: Recording, from: number, to: number) => number | null;
}

const GIL: readonly Curve[] = [
  { label: "have a GIL", color: "--held", fill: true, between: (recording, from, to) => held(recording, from, to) },
  { label: "wait for it", color: "--waiting", between: (recording, from, to) => waiting(recording, from, to) },
];

const CPU: readonly Curve[] = [
  { label: "processors in use", color: "--cpu", fill: true, between: ({ curves }, from, to) => mean(curves.cpu, curves.step, from, to) },
  { label: "threads without one", color: "--delay", between: ({ curves }, from, to) => mean(curves.delay, curves.step, from, to) },
  { label: "throttled", color: "--throttled", between: ({ curves }, from, to) => mean(curves.throttled, curves.step, from, to) },
];

/** Threads that have a GIL, on average; of one GIL the share of the time in which it is held. */
export function held(recording: Recording, from: number, to: number): number {
  let sum = 0;
  for (const { holds, held } of recording.gils) sum += until(holds, held, to) - until(holds, held, from);
  return sum / (to - from);
}

/** Threads that wait for a GIL, on average. */
export function waiting(recording: Recording, from: number, to: number): number {
  let sum = 0;
  for (const { spans, waited } of recording.threads) sum += until(spans, waited, to) - until(spans, waited, from);
  return sum / (to - from);
}

/** The mean of a curve that is known from step to step, as far as it is. */
export function mean(values: readonly (number | null)[], step: number, from: number, to: number): number | null {
  let [sum, known] = [0, 0];
  const first = Math.max(Math.floor(from / step), 0);
  for (let place = first; place < values.length && place * step < to; place += 1) {
    const value = values[place];
    if (value === null || value === undefined) continue;
    const part = Math.min((place + 1) * step, to) - Math.max(place * step, from);
    sum += value * part;
    known += part;
  }
  return known > 0 ? sum / known : null;
}

/** Both, as far as there is anything to draw. */
export function plotsOf(recording: Recording, view: View, onPoint: OnPoint): Plot[] {
  const has = (curve: Curve): boolean => (curve.between(recording, 0, recording.length) ?? 0) > 0;
  const plots: Plot[] = [];
  if (recording.gils.length > 0) plots.push(new Drawn("Threads", GIL, recording, view, onPoint));
  const cpu = CPU.filter((curve) => curve.label !== "throttled" || has(curve));
  if (recording.curves.cpu.some((value) => value !== null)) plots.push(new Drawn("Processors", cpu, recording, view, onPoint));
  return plots;
}

class Drawn implements Plot {
  readonly element = document.createElement("div");
  private plot: uPlot | undefined;
  private width = 0;
  private gutter = 0;
  /** The pointer is elsewhere, and this was told where. */
  private isTold = false;

  constructor(
    private readonly title: string,
    private readonly curves: readonly Curve[],
    private recording: Recording,
    private readonly view: View,
    private readonly onPoint: OnPoint,
  ) {
    this.element.className = "curves";
  }

  renew(recording: Recording): void {
    this.recording = recording;
    this.draw();
  }

  resize(width: number, gutter: number): void {
    if (width === this.width && gutter === this.gutter && this.plot) return;
    this.width = width;
    this.gutter = gutter;
    // Colours are read when it is made: it is made anew when they change, too.
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), this.points(), this.element);
  }

  point(now: number | undefined): void {
    const left = now === undefined ? -10 : (this.plot?.valToPos(now, "x") ?? -10);
    this.isTold = true;
    this.plot?.setCursor({ left, top: 0 }, false);
    this.isTold = false;
  }

  draw(): void {
    this.plot?.setData(this.points(), true);
  }

  private points(): uPlot.AlignedData {
    const { from, to } = this.view;
    const count = Math.max(Math.floor((this.width - this.gutter) / STEP), 2);
    const step = (to - from) / count;
    const x = new Float64Array(count + 1);
    const ys = this.curves.map(() => new Array<number | null>(count + 1).fill(null));
    for (let place = 0; place < count; place += 1) {
      const begin = from + place * step;
      x[place] = begin;
      this.curves.forEach((curve, number) => {
        const column = ys[number];
        if (column) column[place] = curve.between(this.recording, begin, begin + step);
      });
    }
    x[count] = to;
    for (const column of ys) column[count] = column[count - 1] ?? null;
    // Typed arrays serve as well as the lists that its types name.
    return [x, ...ys] as unknown as uPlot.AlignedData;
  }

  private options(): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const color = (name: string): string => style.getPropertyValue(name).trim();
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: `11px ${color("--sans")}` };
    const stepped = uPlot.paths.stepped;
    const series: uPlot.Series[] = this.curves.map((curve) => ({
      label: curve.label,
      stroke: color(curve.color),
      width: 1.5,
      points: { show: false },
      ...(curve.fill === true ? { fill: `${color(curve.color)}33` } : {}),
      ...(stepped ? { paths: stepped({ align: 1 }) } : {}),
      value: (_: uPlot, value: number | null) => (value === null ? "–" : value.toFixed(2)),
    }));
    return {
      width: this.width,
      height: HEIGHT,
      padding: [8, 0, 0, 0],
      scales: {
        x: { time: false, range: () => [this.view.from, this.view.to] },
        y: { range: (_, __, most) => [0, Math.max(most * 1.08, 1)] },
      },
      axes: [
        { ...axis, align: 1, size: 22, gap: 2, space: 90, values: (_, marks) => marks.map((mark, place) => moment(mark, (marks[place + 1] ?? mark) - mark || (marks[1] ?? 0) - (marks[0] ?? 0))) },
        { ...axis, size: this.gutter, gap: 4, space: 26 },
      ],
      series: [{ label: "time", value: (_: uPlot, value: number | null) => (value === null ? "–" : moment(value, this.view.length / 200)) }, ...series],
      legend: { live: true },
      cursor: { sync: { key: "plait" }, points: { size: 6 }, drag: { x: true, y: false, setScale: false }, y: false },
      hooks: {
        setCursor: [
          (plot) => {
            if (this.isTold) return;
            const { left } = plot.cursor;
            this.onPoint(left === undefined || left < 0 ? undefined : plot.posToVal(left, "x"));
          },
        ],
        setSelect: [
          (plot) => {
            const { left, width } = plot.select;
            if (width > 3) this.view.show(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
        ready: [
          (plot) => {
            plot.root.setAttribute("aria-label", `${this.title}: ${this.curves.map((curve) => curve.label).join(", ")}`);
            plot.over.addEventListener("dblclick", () => this.view.showAll());
          },
        ],
      },
    };
  }
}
