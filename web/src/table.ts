/** The stretches of one lane as a table: for who cannot see the picture, or wants its numbers. */

import type { Recording } from "./data/recording";
import { firstAfter } from "./data/search";
import { make, named } from "./dom";
import { time } from "./text";

/** More rows than these nobody reads; the longest are shown. */
const MOST = 200;

export function spansTable(recording: Recording, thread: number, from: number, to: number, name: string): HTMLElement {
  const spans = recording.threads[thread]?.spans;
  const places: number[] = [];
  if (spans) {
    for (let place = firstAfter(spans, from); place < spans.what.length && (spans.from[place] ?? 0) < to; place += 1) places.push(place);
  }
  const length = (place: number): number => (spans?.to[place] ?? 0) - (spans?.from[place] ?? 0);
  const shown = places.length > MOST ? [...places].sort((a, b) => length(b) - length(a)).slice(0, MOST).sort((a, b) => a - b) : places;
  const caption = make("caption", {}, named(name), `, from ${time(from)} to ${time(to)}`);
  if (shown.length < places.length) caption.append(`: the ${MOST} longest of ${places.length} stretches`);
  const head = make("tr", {}, ...["from", "for", "what"].map((text) => make("th", { scope: "col" }, text)));
  const rows = shown.map((place) => {
    const kind = recording.kinds[spans?.what[place] ?? 0];
    const label = recording.states[kind?.state ?? 0]?.label ?? "";
    const what = kind?.call ? `${label} (${kind.call})` : label;
    return make("tr", {}, make("td", {}, time(spans?.from[place] ?? 0)), make("td", {}, time(length(place))), make("td", {}, what));
  });
  return make("table", {}, caption, make("thead", {}, head), make("tbody", {}, ...rows));
}
