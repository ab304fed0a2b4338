/** The bar over the table: progress of all, filter, copies and files. */
import { h, say } from "./dom.ts";
import type { List } from "./list.ts";
import { clock, tracksText } from "./look.ts";
import * as save from "./save.ts";
import { settings } from "./settings.ts";
import { fill, strings } from "./strings.ts";
import type { Tracks } from "./tracks.ts";

const TOLD = 4000; // ms between two things told to screen readers while the work goes on
const SURE = 2; // tracks after which the time left is told

/** A button with a text; a longer one for screen readers and the mouse. */
export function button(text: string, act: () => void, hint?: string): HTMLButtonElement {
  const title = hint ?? null;
  return h("button", { type: "button", click: act, "aria-label": title, title }, text);
}

export class Tools {
  readonly element: HTMLElement;
  #tracks: Tracks;
  #list: List;
  #status = h("p", { class: "status" });
  #told = h("p", { class: "hidden", role: "status" });
  #bar = h("progress", { max: 1, value: 0, "aria-label": strings.tracks });
  #stop = button(strings.stop, () => this.#tracks.stop());
  #resume = button(strings.resume, () => this.#tracks.resume());
  #save: HTMLElement;
  #progress = "";
  #last = 0;
  #wasBusy = false;

  constructor(tracks: Tracks, list: List, pick: () => void, pickFolder: () => void, clear: () => void) {
    this.#tracks = tracks;
    this.#list = list;
    const filter = h("input", {
      type: "search", placeholder: strings.filterHint, "aria-label": strings.filter,
      input: () => (list.filter = filter.value),
    });
    const file = (name: string, type: string, content: () => string) => () =>
      save.download(name, type, content());
    this.#save = h(
      "div",
      { class: "group", role: "group", "aria-label": strings.save },
      button(strings.copy, () => void this.#copy()),
      button(strings.csv, file("keys.csv", "text/csv", () => save.csv(list.shown, settings.notation)), strings.csvHint),
      button(strings.json, file("keys.json", "application/json", () => save.json(list.shown, settings.notation)), strings.jsonHint),
      button(strings.m3u, file("keys.m3u8", "audio/x-mpegurl", () => save.m3u(list.shown)), strings.m3uHint),
    );
    this.element = h(
      "div",
      { class: "tools" },
      h("div", { class: "tools-row" },
        h("div", { class: "group", role: "group", "aria-label": strings.add },
          button(strings.pickFiles, pick), button(strings.pickFolder, pickFolder)),
        filter, this.#save, button(strings.clear, clear)),
      h("div", { class: "tools-row progress" }, this.#bar, this.#status, this.#stop, this.#resume),
      this.#told,
    );
  }

  /** Tell something once. */
  tell(text: string): void {
    say(this.#told, text);
  }

  /** Show how far the work is. */
  update(): void {
    const { all, done, busy, begun } = this.#tracks;
    const stopped = all.some(({ state }) => state === "stopped");
    const failed = all.filter(({ state }) => state === "failed").length;
    const partly = all.reduce((sum, { share }) => sum + share, 0);
    this.#bar.value = all.length ? (done + partly) / all.length : 0;
    this.#bar.hidden = !busy;
    this.#stop.hidden = !busy;
    this.#resume.hidden = busy || !stopped;
    const counts = { done, all: busy || stopped ? all.length : tracksText(all.length - failed), failed };
    let text = fill(failed ? strings.finishedFailed : strings.finished, counts);
    if (stopped) text = fill(strings.stoppedAll, counts);
    if (busy) {
      text = fill(strings.progress, counts);
      const fresh = done - (begun?.done ?? 0);
      if (begun && fresh >= SURE) {
        const each = (performance.now() - begun.at) / 1000 / (fresh + partly);
        text += `, ${fill(strings.remaining, { time: clock(each * (all.length - done - partly)) })}`;
      }
    }
    // Only what is new: a note stays until then.
    if (text !== this.#progress) say(this.#status, text);
    this.#progress = text;
    const now = performance.now();
    if (busy !== this.#wasBusy || (busy && now - this.#last > TOLD)) {
      this.#last = now;
      this.#wasBusy = busy;
      this.tell(text);
    }
  }

  async #copy(): Promise<void> {
    const { shown } = this.#list;
    try {
      await navigator.clipboard.writeText(save.text(shown, settings.notation));
      this.#note(fill(strings.copied, { tracks: tracksText(shown.length) }));
    } catch {
      this.#note(strings.copyFailed);
    }
  }

  #note(text: string): void {
    say(this.#status, text);
    this.tell(text);
  }
}
