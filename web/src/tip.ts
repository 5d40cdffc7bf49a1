/** The box beside the pointer that says what is under it. */

import { colorOf, type Theme } from "./colors";
import type { Description } from "./describe";
import { make, named } from "./dom";

export class Tip {
  readonly element = make("div", { class: "tip", role: "status", hidden: true });

  constructor(private readonly theme: () => Theme) {}

  show(about: Description | undefined, x: number, y: number): void {
    this.element.hidden = about === undefined;
    if (!about) return;
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    if (about.state) swatch.style.background = colorOf(about.state, this.theme());
    const lines = make("dl");
    for (const [name, text] of about.lines) lines.append(make("div", {}, make("dt", {}, name), make("dd", {}, named(text))));
    this.element.replaceChildren(
      make("p", { class: "quiet" }, named(about.title)),
      make("p", { class: "label" }, swatch, about.label),
      make("p", { class: "quiet" }, about.when),
      lines,
      ...about.stack.map((place) => make("p", { class: "place" }, named(place))),
    );
    const { offsetWidth, offsetHeight } = this.element;
    const { innerWidth, innerHeight } = window;
    const left = x + 16 + offsetWidth > innerWidth ? x - 16 - offsetWidth : x + 16;
    const top = y + 18 + offsetHeight > innerHeight ? y - 14 - offsetHeight : y + 18;
    this.element.style.transform = `translate(${Math.max(left, 4)}px, ${Math.max(top, 4)}px)`;
  }
}
