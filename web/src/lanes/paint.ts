/**
 * Paints lanes into the pixels of an image. A stretch that is narrower than a pixel is not lost: a column of pixels is
 * divided among all that happened in its time, so a picture of half a million spans is true, and as quick as one of a few.
 */

import { firstAfter } from "../data/search";
import type { Stretches } from "../data/recording";

/** Pixels to paint, as `ImageData` has them. */
export interface Image {
  readonly pixels: Uint32Array;
  readonly width: number;
  readonly height: number;
}

/** Where a lane lies in the image, in its pixels. */
export interface Strip {
  readonly top: number;
  readonly height: number;
}

/** What the columns of an image show. */
export interface Scale {
  readonly from: number;
  /** Time that a column stands for. */
  readonly column: number;
}

/** How a lane's stretches look. */
export interface Looks {
  /** The layer of each `what`: what has lower ones lies lower in a divided column. */
  readonly layer: Uint8Array;
  /** The colour of each layer, as a pixel. */
  readonly color: Uint32Array;
}

/** All of a column, but for what sums of fractions are wrong by. */
const FULL = 1 - 1e-9;

export function paintStrip(image: Image, strip: Strip, scale: Scale, of: Stretches, looks: Looks): void {
  const layers = looks.color.length;
  const share = new Float64Array(layers);
  let open = -1;
  const flush = (): void => {
    if (open >= 0) paintColumn(image, strip, open, share, looks.color);
    share.fill(0);
    open = -1;
  };
  const end = scale.from + scale.column * image.width;
  for (let place = firstAfter(of, scale.from); place < of.what.length; place += 1) {
    const from = of.from[place] ?? 0;
    if (from >= end) break;
    const layer = looks.layer[of.what[place] ?? 0] ?? 0;
    const left = Math.max((from - scale.from) / scale.column, 0);
    const right = Math.min(((of.to[place] ?? 0) - scale.from) / scale.column, image.width);
    const first = Math.floor(left);
    const last = Math.min(Math.floor(right), image.width - 1);
    if (first !== open) flush();
    if (first === last) {
      share[layer] = (share[layer] ?? 0) + right - left;
      open = first;
      continue;
    }
    share[layer] = (share[layer] ?? 0) + first + 1 - left;
    open = first;
    flush();
    paintBlock(image, strip, first + 1, last, looks.color[layer] ?? 0);
    share[layer] = right - last;
    open = last;
  }
  flush();
}

/** Columns of one colour, the last one left out. */
export function paintBlock(image: Image, strip: Strip, left: number, right: number, color: number): void {
  if (color === 0 || right <= left) return;
  const bottom = Math.min(strip.top + strip.height, image.height);
  for (let row = Math.max(strip.top, 0); row < bottom; row += 1) {
    image.pixels.fill(color, row * image.width + left, row * image.width + right);
  }
}

/** One column, divided among the layers by their shares; what is left of it stays as it was. */
function paintColumn(image: Image, strip: Strip, x: number, share: Float64Array, color: Uint32Array): void {
  let others = 0;
  for (const part of share) if (part > 0) others += 1;
  let y = strip.top + strip.height;
  let left = strip.height;
  let due = 0;
  for (let layer = 0; layer < share.length; layer += 1) {
    const part = share[layer] ?? 0;
    if (part <= 0) continue;
    if (part >= FULL) {
      paintBlock(image, strip, x, x + 1, color[layer] ?? 0);
      return;
    }
    others -= 1;
    // Shares are rounded together, so that they add up; but what is there at all is seen, as far as there is room for all.
    due += part * strip.height;
    const wanted = Math.round(due - (strip.height - left));
    const rows = Math.min(Math.max(Math.min(wanted, left - others), 1), left);
    left -= rows;
    const pixel = color[layer] ?? 0;
    for (let row = 0; row < rows; row += 1) {
      y -= 1;
      if (pixel !== 0 && y >= 0 && y < image.height) image.pixels[y * image.width + x] = pixel;
    }
  }
}
