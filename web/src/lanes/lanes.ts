/** The lanes: names on the left, what each thread did on the right, scrolled by the page's own scroll bar. */

import { colorOf, pixelOf, taskColor, type Theme } from "../colors";
import { stateOf, type Recording } from "../data/recording";
import { threadName } from "../describe";
import { make, named } from "../dom";
import type { View } from "../view";
import { cut } from "../text";
import { paintBlock, paintStrip, type Image, type Looks, type Scale } from "./paint";
import { HEIGHT, heightOf, rowAt, type Row } from "./rows";

/** What lies under the pointer. */
export interface Spot {
  readonly row: Row;
  readonly time: number;
}

/** A stretch of a lane to draw the eye to. */
export interface Mark {
  readonly thread: number;
  readonly from: number;
  readonly to: number;
}

/** Rows are named as far above and below the window as this, so that scrolling shows no holes. */
const MARGIN = 200;
const FONT = "11px";

export class Lanes {
  readonly element = make("div", { class: "lanes" });
  /** The part that is looked at, for pointers and keys. */
  readonly field = make("div", { class: "field", tabindex: 0, role: "application" });
  private readonly canvas = make("canvas", { "aria-hidden": "true" });
  private readonly names = make("div", { class: "names" });
  private readonly inner = make("div", { class: "inner" });
  private readonly line = make("div", { class: "cursor", hidden: true });
  private readonly band = make("div", { class: "band", hidden: true });
  private rows: readonly Row[] = [];
  private width = 0;
  private gutter = 0;
  private mark: Mark | undefined;
  private chosen: Row | undefined;

  constructor(
    private recording: Recording,
    private readonly view: View,
    private readonly theme: () => Theme,
    private readonly fold: (process: number) => void,
    readonly folded: ReadonlySet<number>,
  ) {
    this.field.setAttribute("aria-label", "lanes of the threads; arrow keys move, plus and minus zoom, ? shows all keys");
    this.field.append(this.canvas, this.line, this.band);
    this.inner.append(this.names, this.field);
    this.element.append(this.inner);
    this.element.addEventListener("scroll", () => this.draw());
  }

  renew(recording: Recording): void {
    this.recording = recording;
  }

  setRows(rows: readonly Row[]): void {
    this.rows = rows;
    this.inner.style.height = `${heightOf(rows)}px`;
    this.draw();
  }

  setMark(mark: Mark | undefined): void {
    this.mark = mark;
    if (mark) this.scrollTo((row) => row.kind === "thread" && row.thread === mark.thread);
    this.draw();
  }

  /** The lane that the keyboard is on. */
  choose(row: Row | undefined): void {
    this.chosen = row;
    if (row) this.scrollTo((other) => other.top === row.top);
    this.draw();
  }

  get choice(): Row | undefined {
    return this.chosen && this.rows.find((row) => row.top === this.chosen?.top);
  }

  get shown(): readonly Row[] {
    return this.rows;
  }

  resize(width: number, gutter: number): void {
    this.width = width;
    this.gutter = gutter;
    this.element.classList.toggle("narrow", gutter === 0);
    this.names.style.width = gutter === 0 ? "100%" : `${gutter}px`;
    this.field.style.marginLeft = `${gutter}px`;
    this.draw();
  }

  /** What a point of the window lies on. */
  spotAt(clientX: number, clientY: number): Spot | undefined {
    const box = this.field.getBoundingClientRect();
    const x = clientX - box.left;
    const y = clientY - this.inner.getBoundingClientRect().top;
    const row = rowAt(this.rows, y);
    if (!row || x < 0 || x >= box.width) return undefined;
    return { row, time: this.timeAt(clientX) };
  }

  timeAt(clientX: number): number {
    const box = this.field.getBoundingClientRect();
    return this.view.from + ((clientX - box.left) / Math.max(box.width, 1)) * this.view.length;
  }

  /** Shows where the pointer is, and what is about to be chosen; times, or undefined. */
  point(now: number | undefined, band?: readonly [from: number, to: number]): void {
    this.line.hidden = now === undefined;
    if (now !== undefined) this.line.style.transform = `translateX(${this.x(now)}px)`;
    this.band.hidden = band === undefined;
    if (band) {
      this.band.style.left = `${this.x(band[0])}px`;
      this.band.style.width = `${this.x(band[1]) - this.x(band[0])}px`;
    }
  }

  draw(): void {
    const width = Math.max(this.width - this.gutter, 1);
    if (this.width < 1) return;
    const height = Math.min(this.element.clientHeight, heightOf(this.rows));
    this.field.hidden = height < 1;
    if (height < 1) {
      this.names.replaceChildren(make("p", { class: "quiet none" }, "no lane fits the search"));
      return;
    }
    const top = this.element.scrollTop;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [columns, lines] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== columns || this.canvas.height !== lines) {
      this.canvas.width = columns;
      this.canvas.height = lines;
    }
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.field.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    if (!context) return;
    const data = context.createImageData(columns, lines);
    const image: Image = { pixels: new Uint32Array(data.data.buffer), width: columns, height: lines };
    const scale: Scale = { from: this.view.from, column: this.view.length / columns };
    const visible = this.visible(top, height);
    const strip = (at: number, tall: number): { top: number; height: number } => ({
      top: Math.round((at - top) * ratio),
      height: Math.max(Math.round(tall * ratio), 1),
    });
    const [states, gils, tasks] = [this.states(), this.gils(), this.tasks()];
    for (const row of visible) {
      if (row.kind === "gil") {
        const gil = this.recording.gils[row.gil];
        if (gil) paintStrip(image, strip(row.top, HEIGHT.gil), scale, gil.holds, gils);
      } else if (row.kind === "thread") {
        const thread = this.recording.threads[row.thread];
        if (!thread) continue;
        const below = row.hasTasks ? HEIGHT.tasks : 0;
        if (row.hasTasks) paintStrip(image, strip(row.top, HEIGHT.tasks - 1), scale, thread.tasks, tasks);
        paintStrip(image, strip(row.top + below, HEIGHT.thread), scale, thread.spans, states);
      }
    }
    this.paintGaps(image, scale);
    context.putImageData(data, 0, 0);
    context.scale(ratio, ratio);
    this.write(context, visible, top);
    this.frame(context, visible, top, width);
    context.setTransform(1, 0, 0, 1, 0, 0);
    this.putNames(this.visible(top - MARGIN, height + 2 * MARGIN));
  }

  private visible(top: number, height: number): readonly Row[] {
    return this.rows.filter((row) => row.top + row.height > top && row.top < top + height);
  }

  private x(time: number): number {
    return ((time - this.view.from) / this.view.length) * Math.max(this.width - this.gutter, 1);
  }

  private states(): Looks {
    const { states, kinds } = this.recording;
    return {
      layer: Uint8Array.from(kinds, (kind) => kind.state),
      color: Uint32Array.from(states, (state) => pixelOf(colorOf(state, this.theme()))),
    };
  }

  /** Whoever holds it: one layer, of one colour. */
  private gils(): Looks {
    const layer = new Uint8Array(this.recording.threads.length + 1);
    return { layer, color: Uint32Array.of(pixelOf(colorOf(stateOf(this.recording, "holds-python"), this.theme()))) };
  }

  private tasks(): Looks {
    const layer = Uint8Array.from(this.recording.names, (_, name) => name % 6);
    return { layer, color: Uint32Array.from([0, 1, 2, 3, 4, 5], (name) => pixelOf(taskColor(name, this.theme()))) };
  }

  /** Where nobody looked, stripes across all lanes. */
  private paintGaps(image: Image, scale: Scale): void {
    const color = pixelOf(this.theme() === "light" ? "#d8dde2" : "#39414a");
    for (const [from, to] of this.recording.gaps) {
      const left = Math.max(Math.floor((from - scale.from) / scale.column), 0);
      const right = Math.min(Math.ceil((to - scale.from) / scale.column), image.width);
      for (let x = left; x < right; x += 4) paintBlock(image, { top: 0, height: image.height }, x, x + 1, color);
    }
  }

  /** Names of tasks, where they have room. */
  private write(context: CanvasRenderingContext2D, visible: readonly Row[], top: number): void {
    context.font = `${FONT} ${getComputedStyle(this.element).fontFamily}`;
    context.textBaseline = "middle";
    context.fillStyle = "#ffffff";
    for (const row of visible) {
      if (row.kind !== "thread" || !row.hasTasks) continue;
      const tasks = this.recording.threads[row.thread]?.tasks;
      if (!tasks) continue;
      for (let place = 0; place < tasks.what.length; place += 1) {
        const left = Math.max(this.x(tasks.from[place] ?? 0), 0);
        const room = Math.min(this.x(tasks.to[place] ?? 0), this.width - this.gutter) - left - 6;
        if (room < 24) continue;
        const text = cut(this.recording.names[tasks.what[place] ?? 0] ?? "", Math.floor(room / 6));
        context.fillText(text, left + 3, row.top - top + (HEIGHT.tasks - 1) / 2 + 0.5, room);
      }
    }
  }

  /** Draws the eye to the mark and to the lane that was chosen. */
  private frame(context: CanvasRenderingContext2D, visible: readonly Row[], top: number, width: number): void {
    const style = getComputedStyle(this.element);
    context.lineWidth = 2;
    for (const row of visible) {
      if (this.chosen?.top === row.top) {
        context.strokeStyle = style.getPropertyValue("--accent");
        context.strokeRect(1, row.top - top, width - 2, row.height - HEIGHT.gap + 1);
      }
      if (row.kind === "thread" && this.mark?.thread === row.thread) {
        const left = this.x(this.mark.from);
        context.strokeStyle = style.getPropertyValue("--ink");
        context.strokeRect(left - 1, row.top - top - 1, Math.max(this.x(this.mark.to) - left, 2) + 2, row.height - HEIGHT.gap + 2);
      }
    }
  }

  private putNames(rows: readonly Row[]): void {
    this.names.replaceChildren(...rows.map((row) => this.nameOf(row)));
  }

  private nameOf(row: Row): HTMLElement {
    const style = `top:${row.top}px;height:${row.height}px`;
    if (row.kind === "process") {
      const process = this.recording.processes[row.process];
      const folded = this.folded.has(row.process);
      const label = make("button", { class: "process", style, type: "button", "aria-expanded": String(!folded) });
      label.append(named(process?.name ?? ""), make("span", { class: "quiet" }, process?.python ? ` · Python ${process.python}` : ""));
      label.title = process?.command ?? "";
      label.addEventListener("click", () => this.fold(row.process));
      return label;
    }
    if (row.kind === "gil") {
      return make("div", { class: "gil", style }, this.recording.gils[row.gil]?.title ?? "GIL");
    }
    const label = make("div", { class: "thread", style }, named(threadName(this.recording, row.thread)));
    label.title = label.textContent ?? "";
    return label;
  }

  private scrollTo(which: (row: Row) => boolean): void {
    const row = this.rows.find(which);
    if (!row) return;
    const { scrollTop, clientHeight } = this.element;
    if (row.top < scrollTop || row.top + row.height > scrollTop + clientHeight) {
      this.element.scrollTop = Math.max(row.top - clientHeight / 3, 0);
    }
  }
}

