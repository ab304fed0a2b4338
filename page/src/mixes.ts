/** The tracks that mix well with a key, nearest first. */
import { harmonicDistance, mixesWith } from "../../js/src/index.ts";
import { h } from "./dom.ts";
import { keyText, paint } from "./look.ts";
import { settings } from "./settings.ts";
import { strings } from "./strings.ts";
import type { Track } from "./tracks.ts";

export class Mixes {
  readonly element = h("div", { class: "mixes-list" });
  onSelect: (track: Track) => void = () => {};
  #drawn = "";

  /** Show what mixes with a key among all tracks but one. */
  show(key: string | null, all: readonly Track[], except: Track | null = null): void {
    const found = all.flatMap((track) => {
      const theirs = track.result?.key;
      const move = key && theirs && track !== except ? mixesWith(key, theirs) : null;
      if (!key || !theirs || !move) return [];
      return [{ track, theirs, move, distance: harmonicDistance(key, theirs) }];
    });
    found.sort(
      (a, b) => a.distance - b.distance || b.track.result!.confidence - a.track.result!.confidence,
    );
    const drawn = [settings.notation, key, except?.id, ...found.map(({ track }) => track.id)].join();
    if (drawn === this.#drawn) return; // focus stays where it is
    this.#drawn = drawn;
    if (!found.length) {
      const text = key ? strings.mixesNone : strings.mixesNoKey;
      this.element.replaceChildren(h("p", { class: "quiet" }, text));
      return;
    }
    const items = found.map(({ track, theirs, move }) => {
      const chip = h("span", { class: "key" }, keyText(theirs));
      paint(chip, theirs);
      const name = track.path.slice(track.path.lastIndexOf("/") + 1);
      const words = h("span", { class: "move" }, strings.moves[move]);
      const select = () => this.onSelect(track);
      return h("li", {},
        h("button", { type: "button", click: select },
          chip, h("span", { class: "title" }, name), words));
    });
    this.element.replaceChildren(h("ul", {}, ...items));
  }
}
