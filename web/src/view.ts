/** Which part of the recording is shown; all pictures of it follow this one. Times are microseconds. */

/** Nobody needs to see less than this at once. */
const NARROWEST = 20;

export class View {
  private begin: number;
  private finish: number;
  private readonly listeners: (() => void)[] = [];

  constructor(
    private first: number,
    private last: number,
  ) {
    this.last = Math.max(last, first + NARROWEST);
    this.begin = this.first;
    this.finish = this.last;
  }

  get from(): number {
    return this.begin;
  }

  get to(): number {
    return this.finish;
  }

  get length(): number {
    return this.finish - this.begin;
  }

  get isWhole(): boolean {
    return this.begin <= this.first && this.finish >= this.last;
  }

  /** Has `listener` called after each change. */
  listen(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** Shows this part, or the part next to it that there is. */
  show(from: number, to: number): void {
    const length = Math.min(Math.max(to - from, NARROWEST), this.last - this.first);
    const middle = (from + to) / 2;
    const begin = Math.min(Math.max(middle - length / 2, this.first), this.last - length);
    if (begin === this.begin && begin + length === this.finish) return;
    this.begin = begin;
    this.finish = begin + length;
    this.tell();
  }

  showAll(): void {
    this.show(this.first, this.last);
  }

  /** Shows so many times the time, around a moment that stays where it is on the screen. */
  zoom(factor: number, around: number = (this.begin + this.finish) / 2): void {
    this.show(around - (around - this.begin) * factor, around + (this.finish - around) * factor);
  }

  /** Moves by a share of what is shown. */
  pan(share: number): void {
    const by = this.length * share;
    const bounded = Math.min(Math.max(by, this.first - this.begin), this.last - this.finish);
    this.show(this.begin + bounded, this.finish + bounded);
  }

  /** Shows a stretch with some of what was around it. */
  goTo(from: number, to: number): void {
    const margin = Math.max((to - from) * 0.75, 250);
    this.show(from - margin, to + margin);
  }

  /** The recording has grown, or has lost its beginning. Who saw all of it, still does. */
  bound(first: number, last: number): void {
    const whole = this.isWhole;
    this.first = first;
    this.last = Math.max(last, first + NARROWEST);
    if (whole) {
      this.begin = this.first;
      this.finish = this.last;
    } else {
      const length = Math.min(this.length, this.last - this.first);
      this.begin = Math.min(Math.max(this.begin, this.first), this.last - length);
      this.finish = this.begin + length;
    }
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}
