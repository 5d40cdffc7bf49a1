/** The page of a recording: puts the pictures together, and lets the reader's hands reach them. */

import { colorOf, type Theme } from "./colors";
import type { Recording } from "./data/recording";
import { after } from "./data/search";
import { ofGil, ofThread, threadName } from "./describe";
import { byId, make } from "./dom";
import { followPointer } from "./gestures";
import { Lanes, type Spot } from "./lanes/lanes";
import { idleThreads, rowsOf, wordsOf, type Row } from "./lanes/rows";
import { plotsOf, type Plot } from "./plots";
import { spansTable } from "./table";
import { share, time } from "./text";
import { Tip } from "./tip";
import { View } from "./view";

/** Names of lanes have a column of their own where there is room for it. */
const GUTTER = 176;
const NARROW = 640;

const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ["← →", "move"],
  ["+ −", "zoom"],
  ["0", "show all"],
  ["↑ ↓", "choose a lane"],
  ["n p", "its next or previous stretch"],
  ["/", "search"],
  ["Enter", "in the search: the next place"],
  ["i", "hide idle lanes"],
  ["Esc", "clear"],
  ["Shift+drag", "move"],
  ["Ctrl+wheel", "zoom"],
];

export class Page {
  private readonly view: View;
  private readonly lanes: Lanes;
  private readonly tip: Tip;
  private readonly folded = new Set<number>();
  private plots: Plot[];
  private idle: boolean[];
  private words: string[];
  private hits: { thread: number; from: number; to: number }[] = [];
  private hit = -1;
  private time = 0;
  private due = 0;
  private readonly charts = byId("charts", HTMLElement);
  private readonly curves = byId("curves", HTMLElement);
  private readonly search = byId("search", HTMLInputElement);
  private readonly hide = byId("hide-idle", HTMLInputElement);
  private readonly count = byId("lane-count", HTMLElement);
  private readonly range = byId("range", HTMLElement);
  private readonly dark = window.matchMedia("(prefers-color-scheme: dark)");

  constructor(private recording: Recording) {
    this.view = new View(recording.from, recording.length);
    const theme = (): Theme => (this.dark.matches ? "dark" : "light");
    this.lanes = new Lanes(recording, this.view, theme, (process) => this.fold(process), this.folded);
    this.tip = new Tip(theme);
    this.plots = plotsOf(recording, this.view, (now) => this.lanes.point(now));
    this.idle = idleThreads(recording);
    this.words = wordsOf(recording);
    this.curves.append(...this.plots.map((plot) => plot.element));
    byId("lanes", HTMLElement).replaceChildren(this.lanes.element);
    document.body.append(this.tip.element);
    this.hide.checked = this.idle.filter((idle) => idle).length > 2 && this.idle.some((idle) => !idle);
    this.putLegend();
    this.listen();
    this.arrange();
    this.layout();
  }

  /** Another recording of the same program: its next few moments. */
  renew(recording: Recording): void {
    this.recording = recording;
    this.idle = idleThreads(recording);
    this.words = wordsOf(recording);
    this.lanes.renew(recording);
    if (this.plots.length === 0) {
      this.plots = plotsOf(recording, this.view, (now) => this.lanes.point(now));
      this.curves.append(...this.plots.map((plot) => plot.element));
      this.layout();
    }
    for (const plot of this.plots) plot.renew(recording);
    this.view.bound(recording.from, recording.length);
    this.arrange();
  }

  private listen(): void {
    this.view.listen(() => this.later());
    new ResizeObserver(() => this.layout()).observe(this.charts);
    this.dark.addEventListener("change", () => {
      for (const plot of this.plots) plot.resize(0, 0);
      this.layout();
      this.putLegend();
    });
    this.search.addEventListener("input", () => this.arrange());
    this.hide.addEventListener("change", () => this.arrange());
    byId("show-all", HTMLElement).addEventListener("click", () => this.view.showAll());
    byId("zoom-in", HTMLElement).addEventListener("click", () => this.view.zoom(0.5));
    byId("zoom-out", HTMLElement).addEventListener("click", () => this.view.zoom(2));
    followPointer(this.lanes, this.view, {
      hover: (spot, x, y) => {
        this.tip.show(this.describe(spot), x, y);
        for (const plot of this.plots) plot.point(spot?.time);
      },
      click: (spot, x, y) => {
        this.lanes.choose(spot.row.kind === "process" ? undefined : spot.row);
        this.time = spot.time;
        this.tip.show(this.describe(spot), x, y);
        this.putTable();
      },
    });
    byId("spans", HTMLDetailsElement).addEventListener("toggle", () => this.putTable());
    this.charts.addEventListener("keydown", (event) => this.press(event));
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && event.target === document.body) {
        event.preventDefault();
        this.search.focus();
      }
    });
    document.addEventListener("click", (event) => {
      const link = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-thread]") : null;
      if (!link) return;
      event.preventDefault();
      const { thread, from, to } = link.dataset;
      this.jump(Number(thread), Number(from), Number(to));
    });
    const keys = byId("keys", HTMLElement);
    keys.replaceChildren(...KEYS.map(([key, what]) => make("div", {}, make("kbd", {}, key), ` ${what}`)));
  }

  /** Shows a stretch of a thread, wherever it is. */
  private jump(thread: number, from: number, to: number): void {
    const process = this.recording.threads[thread]?.process ?? -1;
    this.folded.delete(process);
    if (this.search.value !== "") this.search.value = "";
    if (this.idle[thread]) this.hide.checked = false;
    this.arrange();
    this.lanes.setMark({ thread, from, to });
    this.time = from;
    this.view.goTo(from, to);
    this.charts.scrollIntoView({ block: "nearest", behavior: "auto" });
    this.lanes.field.focus({ preventScroll: true });
  }

  private press(event: KeyboardEvent): void {
    if (event.target === this.search) {
      if (event.key === "Enter") this.nextHit(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") {
        this.search.value = "";
        this.arrange();
        this.lanes.field.focus();
      } else return;
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.lanes.field) return;
    const acts: Record<string, () => void> = {
      ArrowLeft: () => this.view.pan(-0.2),
      ArrowRight: () => this.view.pan(0.2),
      ArrowUp: () => this.step(-1),
      ArrowDown: () => this.step(1),
      "+": () => this.view.zoom(0.5),
      "=": () => this.view.zoom(0.5),
      "-": () => this.view.zoom(2),
      "0": () => this.view.showAll(),
      Home: () => this.view.show(this.recording.from, this.recording.from + this.view.length),
      End: () => this.view.show(this.recording.length - this.view.length, this.recording.length),
      n: () => this.stretch(1),
      p: () => this.stretch(-1),
      i: () => {
        this.hide.checked = !this.hide.checked;
        this.arrange();
      },
      "/": () => this.search.focus(),
      "?": () => byId("help", HTMLDetailsElement).toggleAttribute("open"),
      Escape: () => {
        this.lanes.choose(undefined);
        this.lanes.setMark(undefined);
        this.tip.show(undefined, 0, 0);
      },
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** The next lane that can be chosen. */
  private step(by: number): void {
    const rows = this.lanes.shown.filter((row) => row.kind !== "process");
    const now = rows.findIndex((row) => row.top === this.lanes.choice?.top);
    const next = rows[Math.min(Math.max(now + by, 0), rows.length - 1)];
    this.lanes.choose(next);
    this.say();
  }

  /** The next stretch of the chosen lane, described. */
  private stretch(by: number): void {
    const row = this.lanes.choice;
    const of = row?.kind === "thread" ? this.recording.threads[row.thread]?.spans : row?.kind === "gil" ? this.recording.gils[row.gil]?.holds : undefined;
    if (!of || of.what.length === 0) return;
    const place = Math.min(Math.max(after(of.from, this.time) - 1 + by, 0), of.what.length - 1);
    const from = of.from[place] ?? 0;
    const to = of.to[place] ?? 0;
    this.time = from;
    if (from < this.view.from || to > this.view.to || (to - from) / this.view.length < 0.005) this.view.goTo(from, to);
    if (row?.kind === "thread") this.lanes.setMark({ thread: row.thread, from, to });
    this.say();
  }

  /** Says what the chosen lane does at the chosen moment. */
  private say(): void {
    const row = this.lanes.choice;
    if (!row) return;
    const box = this.lanes.field.getBoundingClientRect();
    const x = box.left + ((this.time - this.view.from) / this.view.length) * box.width;
    const y = box.top + row.top - this.lanes.element.scrollTop + row.height;
    this.tip.show(this.describe({ row, time: this.time }), Math.min(Math.max(x, box.left), box.right), y);
    this.putTable();
  }

  private describe(spot: Spot | undefined): ReturnType<typeof ofThread> {
    if (spot?.row.kind === "thread") return ofThread(this.recording, spot.row.thread, spot.time);
    return spot?.row.kind === "gil" ? ofGil(this.recording, spot.row.gil, spot.time) : undefined;
  }

  private fold(process: number): void {
    if (!this.folded.delete(process)) this.folded.add(process);
    this.arrange();
  }

  /** Which lanes there are has changed. */
  private arrange(): void {
    const wanted = { text: this.search.value, hideIdle: this.hide.checked, folded: this.folded };
    const rows = rowsOf(this.recording, wanted, this.idle, this.words);
    const shown = rows.filter((row: Row) => row.kind === "thread").length;
    const all = this.recording.threads.length;
    this.count.textContent = shown === all ? `${all} ${all === 1 ? "lane" : "lanes"}` : `${shown} of ${all} lanes`;
    this.lanes.setRows(rows);
    this.findHits();
  }

  /** Where what is searched for is: tasks, and moments at which a thread was in a function. */
  private findHits(): void {
    const text = this.search.value.trim().toLowerCase();
    this.hits = [];
    this.hit = -1;
    if (text === "") return;
    const { frames, stacks, names, threads, shots } = this.recording;
    const inFrame = frames.map(([name, file]) => `${name} ${file}`.toLowerCase().includes(text));
    const inStack = stacks.map((stack) => stack.some((frame) => inFrame[frame]));
    const inName = names.map((name) => name.toLowerCase().includes(text));
    threads.forEach(({ tasks, stacks: moments }, thread) => {
      tasks.what.forEach((name, place) => {
        if (inName[name]) this.hits.push({ thread, from: tasks.from[place] ?? 0, to: tasks.to[place] ?? 0 });
      });
      let was = false;
      moments.what.forEach((stack, place) => {
        const is = inStack[stack] ?? false;
        const now = moments.at[place] ?? 0;
        if (is && !was) this.hits.push({ thread, from: now, to: now + 1 });
        was = is;
      });
    });
    for (const { thread, at, function: name, natives } of shots) {
      if (`${name ?? ""} ${natives.join(" ")}`.toLowerCase().includes(text)) this.hits.push({ thread, from: at, to: at + 1 });
    }
    this.hits.sort((a, b) => a.from - b.from);
  }

  private nextHit(by: number): void {
    if (this.hits.length === 0) return;
    this.hit = (this.hit + by + this.hits.length) % this.hits.length;
    const found = this.hits[this.hit];
    if (!found) return;
    this.lanes.setMark(found);
    this.time = found.from;
    this.view.goTo(found.from, found.to);
    this.count.textContent = `place ${this.hit + 1} of ${this.hits.length}`;
  }

  /** Redraws once before the next picture, however much has changed until then. */
  private later(): void {
    if (this.due !== 0) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.draw();
    });
  }

  private draw(): void {
    for (const plot of this.plots) plot.draw();
    this.lanes.draw();
    const { from, to, length, isWhole } = this.view;
    this.range.textContent = isWhole ? `all ${time(length)}` : `${time(length)}, from ${time(from)} to ${time(to)}`;
    this.putTable();
  }

  private layout(): void {
    const width = this.curves.clientWidth;
    const gutter = width < NARROW ? 0 : GUTTER;
    for (const plot of this.plots) plot.resize(width, Math.max(gutter, 44));
    this.lanes.resize(width, gutter);
    this.draw();
  }

  private putTable(): void {
    const details = byId("spans", HTMLDetailsElement);
    const body = byId("spans-of", HTMLElement);
    if (!details.open) return;
    const row = this.lanes.choice;
    const thread = row?.kind === "thread" ? row.thread : this.recording.threads.findIndex((_, key) => !this.idle[key]);
    if (thread < 0) return;
    body.replaceChildren(spansTable(this.recording, thread, this.view.from, this.view.to, threadName(this.recording, thread)));
  }

  /** The states that occur, and how much of all threads' time each takes. */
  private putLegend(): void {
    const sums = new Float64Array(this.recording.states.length);
    let all = 0;
    for (const { spans } of this.recording.threads) {
      spans.what.forEach((kind, place) => {
        const length = (spans.to[place] ?? 0) - (spans.from[place] ?? 0);
        const state = this.recording.kinds[kind]?.state ?? 0;
        sums[state] = (sums[state] ?? 0) + length;
        all += length;
      });
    }
    const theme: Theme = this.dark.matches ? "dark" : "light";
    const items = this.recording.states.flatMap((state, place) => {
      const sum = sums[place] ?? 0;
      if (sum === 0) return [];
      const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = colorOf(state, theme);
      return [make("li", { title: `${share(sum / all)} of all threads' time` }, swatch, state.label)];
    });
    byId("legend", HTMLElement).replaceChildren(...items);
  }
}
