/** Pointer and keys over the lanes. Dragging chooses what to zoom into, as on the curves; with Shift, or by touch, it moves. */

import type { Lanes, Spot } from "./lanes/lanes";
import type { View } from "./view";

/** A wheel that turns by one notch zooms by this. */
const NOTCH = 1.2;
/** Who moves less than this, in pixels, has clicked. */
const STILL = 4;

export interface Listener {
  /** What the pointer is on, or nothing. */
  hover(spot: Spot | undefined, x: number, y: number): void;
  /** It was clicked or tapped. */
  click(spot: Spot, x: number, y: number): void;
}

export function followPointer(lanes: Lanes, view: View, listener: Listener): void {
  const { field } = lanes;
  let drag: { x: number; y: number; time: number; pans: boolean; length: number; from: number } | undefined;
  const fingers = new Map<number, number>();
  let pinch: { apart: number; middle: number; length: number } | undefined;

  field.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event.clientX);
    const [one, other] = [...fingers.values()];
    if (one !== undefined && other !== undefined) {
      pinch = { apart: Math.max(Math.abs(one - other), 1), middle: lanes.timeAt((one + other) / 2), length: view.length };
      drag = undefined;
      return;
    }
    if (event.button !== 0) return;
    const pans = event.shiftKey || event.pointerType === "touch";
    drag = { x: event.clientX, y: event.clientY, time: lanes.timeAt(event.clientX), pans, length: view.length, from: view.from };
    if (!pans) field.setPointerCapture(event.pointerId);
  });
  field.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event.clientX);
    const [one, other] = [...fingers.values()];
    if (pinch && one !== undefined && other !== undefined) {
      const length = (pinch.length * pinch.apart) / Math.max(Math.abs(one - other), 1);
      const box = field.getBoundingClientRect();
      const part = ((one + other) / 2 - box.left) / Math.max(box.width, 1);
      view.show(pinch.middle - length * part, pinch.middle + length * (1 - part));
      return;
    }
    const now = lanes.timeAt(event.clientX);
    if (drag?.pans && Math.abs(event.clientX - drag.x) >= STILL) {
      const by = ((drag.x - event.clientX) / Math.max(field.clientWidth, 1)) * drag.length;
      view.pan((drag.from + by - view.from) / view.length);
      return;
    }
    const band = drag && !drag.pans && Math.abs(event.clientX - drag.x) >= STILL;
    lanes.point(now, band && drag ? [Math.min(drag.time, now), Math.max(drag.time, now)] : undefined);
    listener.hover(band ? undefined : lanes.spotAt(event.clientX, event.clientY), event.clientX, event.clientY);
  });
  const up = (event: PointerEvent): void => {
    fingers.delete(event.pointerId);
    if (fingers.size < 2) pinch = undefined;
    const began = drag;
    drag = undefined;
    if (!began || event.type === "pointercancel") return;
    const moved = Math.hypot(event.clientX - began.x, event.clientY - began.y) >= STILL;
    if (!moved) {
      const spot = lanes.spotAt(event.clientX, event.clientY);
      if (spot) listener.click(spot, event.clientX, event.clientY);
    } else if (!began.pans) {
      const now = lanes.timeAt(event.clientX);
      lanes.point(now);
      if (Math.abs(event.clientX - began.x) >= STILL) view.show(Math.min(began.time, now), Math.max(began.time, now));
    }
  };
  field.addEventListener("pointerup", up);
  field.addEventListener("pointercancel", up);
  field.addEventListener("pointerleave", (event) => {
    // A finger leaves when it is lifted; what it has tapped stays told.
    if (drag || event.pointerType === "touch") return;
    lanes.point(undefined);
    listener.hover(undefined, 0, 0);
  });
  field.addEventListener("dblclick", () => view.showAll());
  field.addEventListener(
    "wheel",
    (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      // An upright wheel belongs to the page, but for who asks.
      if (!sideways && !event.ctrlKey && !event.altKey && !event.metaKey) return;
      event.preventDefault();
      const notches = (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 / 100 : 1 / 3) * (sideways ? event.deltaX || event.deltaY : event.deltaY);
      if (sideways) view.pan(notches / 8);
      else view.zoom(NOTCH ** Math.min(Math.max(notches * 2, -4), 4), lanes.timeAt(event.clientX));
    },
    { passive: false },
  );
}
