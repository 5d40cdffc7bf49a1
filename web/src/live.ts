/** A program that is watched while it runs: asks for its last seconds again and again. */

import type { Recording } from "./data/recording";
import { byId } from "./dom";
import { Page } from "./page";

/** Between two answers, in milliseconds. */
const PAUSE = 400;

export async function follow(unpacked: (bytes: Uint8Array<ArrayBuffer>) => Promise<Recording>): Promise<void> {
  const state = byId("live-state", HTMLElement);
  const pause = byId("live-pause", HTMLInputElement);
  let page: Page | undefined;
  for (;;) {
    if (!pause.checked && !document.hidden) {
      const answer = await ask("lanes");
      if (!answer) {
        state.textContent = "ended; this is the last that was seen";
        return;
      }
      const recording = await unpacked(new Uint8Array(await answer.arrayBuffer()));
      if (page) page.renew(recording);
      else page = new Page(recording);
      const said = await ask("verdict");
      // Made by plait, which has escaped whatever came from the program.
      if (said) byId("said", HTMLElement).innerHTML = await said.text();
      state.textContent = "live";
    }
    await new Promise((resume) => setTimeout(resume, PAUSE));
  }
}

/** Asks the server that this page came from; undefined when it is gone. */
async function ask(what: string): Promise<Response | undefined> {
  try {
    const answer = await fetch(`${what}${location.search}`, { cache: "no-store" });
    return answer.ok ? answer : undefined;
  } catch {
    return undefined;
  }
}
