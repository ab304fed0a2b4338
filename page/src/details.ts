/** All about the selected track. */
import { signature } from "../../js/src/index.ts";
import { drawCircle } from "./circle.ts";
import { h, say } from "./dom.ts";
import { clock, keyText, paint, percent, tuningText } from "./look.ts";
import { Mixes } from "./mixes.ts";
import { OverTime } from "./over_time.ts";
import { Player } from "./player.ts";
import { settings } from "./settings.ts";
import { strings } from "./strings.ts";
import type { Track } from "./tracks.ts";

export class Details {
  readonly element: HTMLElement;
  onBack: () => void = () => {};
  #player = new Player();
  #overTime = new OverTime(this.#player);
  #name = h("h2", { tabindex: -1 });
  #key = h("p", { class: "big-key" });
  #facts = h("dl", { class: "facts" });
  #warnings = h("ul", { class: "warnings" });
  #circle = h("div");
  readonly mixes = new Mixes();
  #track: Track | null = null;
  #drawn = "";

  constructor() {
    this.#player.onChange = () => this.#overTime.move();
    this.element = h(
      "article",
      { class: "details", "aria-label": strings.details },
      h("button", { type: "button", class: "back", click: () => this.onBack() }, strings.back),
      h("header", {}, this.#name, this.#key, this.#facts, this.#warnings),
      h("section", { class: "of-fifths", "aria-label": strings.circle }, this.#circle),
      this.#overTime.element,
      h("section", { class: "mixes", "aria-labelledby": "mixes" },
        h("h3", { id: "mixes" }, strings.mixes), this.mixes.element),
    );
  }

  /** Show a track, among all. */
  show(track: Track, all: readonly Track[]): void {
    const { result } = track;
    if (track !== this.#track) {
      this.#track = track;
      this.#player.open(result ? track.file : null, result?.seconds ?? 0);
    }
    say(this.#name, track.path.slice(track.path.lastIndexOf("/") + 1));
    if (!result) return;
    this.#overTime.show(result, track.closer);
    const drawn = `${track.id} ${settings.notation}`;
    if (drawn !== this.#drawn) {
      this.#drawn = drawn;
      this.#overTime.rename();
      this.#build(track);
    }
    this.mixes.show(result.key, all, track);
  }

  /** Stop what sounds. */
  silence(): void {
    this.#track = null;
    this.#player.open(null, 0);
  }

  focus(): void {
    this.#name.focus({ preventScroll: true });
    this.#name.scrollIntoView({ block: "start" });
  }

  #build({ result }: Track): void {
    if (!result) return;
    const { key } = result;
    say(this.#key, keyText(key));
    paint(this.#key, key);
    const facts: [string, string][] = [
      [strings.confidence, `${percent(result.confidence)} %`],
      [strings.tuning, tuningText(result.tuning)],
      [strings.length, clock(result.seconds)],
    ];
    if (key) facts.unshift([strings.signature, keyText(signature(key))]);
    this.#facts.replaceChildren(
      ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    );
    this.#warnings.replaceChildren(...result.warnings.map((text) => h("li", {}, text)));
    this.#circle.replaceChildren(drawCircle(result.labels, result.probabilities, key));
  }
}
