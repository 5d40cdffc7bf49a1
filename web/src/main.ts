/** Begins: unpacks the recording that the page holds, or asks the program that serves it. */

import { inflate, unbase64, unpack } from "./data/bytes";
import { recordingOf, type Recording } from "./data/recording";
import { byId } from "./dom";
import { follow } from "./live";
import { Page } from "./page";

async function unpacked(bytes: Uint8Array<ArrayBuffer>): Promise<Recording> {
  const { header, columns } = unpack(await inflate(bytes));
  return recordingOf(header, columns);
}

async function begin(): Promise<void> {
  const charts = byId("charts", HTMLElement);
  if (charts.dataset["live"] !== undefined) {
    await follow(unpacked);
    return;
  }
  const packed = byId("recording", HTMLScriptElement);
  const recording = await unpacked(unbase64(packed.textContent ?? ""));
  // The text is long, and not needed any more.
  packed.remove();
  new Page(recording);
  document.documentElement.dataset["drawn"] = String(Math.round(performance.now()));
}

begin().catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  byId("trouble", HTMLElement).textContent = `The lanes cannot be drawn: ${text}. What is above and below them is whole.`;
  byId("trouble", HTMLElement).hidden = false;
});
