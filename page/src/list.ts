/** The table of tracks: a row each, sorted and filtered. */
import { keyOrder } from "../../js/src/index.ts";
import { h, icon, say } from "./dom.ts";
import { centsText, clock, keyText, paint, percent, sentence } from "./look.ts";
import { fill, strings } from "./strings.ts";
import type { Track } from "./tracks.ts";

type Column = keyof typeof strings.column;

const CROSS = "M6 6l12 12M18 6L6 18";
const COLUMNS = Object.keys(strings.column) as Column[];

interface Row {
  element: HTMLTableRowElement;
  name: HTMLButtonElement;
  key: HTMLElement;
  bar: HTMLElement;
  sure: HTMLElement;
  note: HTMLElement;
  tuning: HTMLElement;
  seconds: HTMLElement;
}

export class List {
  readonly element: HTMLElement;
  onSelect: (track: Track) => void = () => {};
  onRemove: (track: Track) => void = () => {};
  selected: Track | null = null;
  #rows = new Map<Track, Row>();
  #body = h("tbody", { role: "rowgroup" });
  #none = h("p", { class: "quiet no-match", role: "status" });
  #heads = new Map<Column, HTMLTableCellElement>();
  #sort: { by: Column; down: boolean } | null = null;
  #filter = "";
  #tracks: readonly Track[] = [];

  constructor() {
    const heads = COLUMNS.map((column) => {
      const button = h(
        "button",
        { type: "button", click: () => this.#sortBy(column) },
        strings.column[column],
        h("span", { class: "arrow", "aria-hidden": "true" }),
      );
      const head = h("th", { role: "columnheader", scope: "col", class: `is-${column}` }, button);
      this.#heads.set(column, head);
      return head;
    });
    this.element = h(
      "div",
      { class: "list" },
      h(
        "table",
        { role: "table", "aria-label": strings.tracks, keydown: (event: KeyboardEvent) => this.#key(event) },
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads, h("td", { role: "cell" }))),
        this.#body,
      ),
      this.#none,
    );
  }

  set filter(text: string) {
    this.#filter = text.trim().toLowerCase();
    this.arrange();
  }

  /** The tracks that are shown, in their order. */
  get shown(): Track[] {
    const words = this.#filter.split(/\s+/).filter(Boolean);
    const found = this.#tracks.filter((track) => {
      const { result } = track;
      const key = result ? `${keyText(result.key)} ${result.key ?? ""}` : "";
      const text = `${track.path} ${key}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    return this.#sort ? sorted(found, this.#sort.by, this.#sort.down) : found;
  }

  /** Show these tracks. */
  set tracks(tracks: readonly Track[]) {
    this.#tracks = tracks;
    const there = new Set(tracks);
    for (const track of this.#rows.keys()) if (!there.has(track)) this.#rows.delete(track);
    for (const track of tracks) this.update(track);
    this.arrange();
  }

  /** Put the rows in their order; focus stays where it is. */
  arrange(): void {
    const shown = this.shown;
    const wanted = shown.map((track) => this.#rows.get(track)!.element);
    const there = [...this.#body.children];
    if (wanted.length !== there.length || wanted.some((row, i) => row !== there[i])) {
      const focused = document.activeElement;
      this.#body.replaceChildren(...wanted);
      if (focused instanceof HTMLElement && this.#body.contains(focused)) focused.focus();
    }
    say(this.#none, this.#tracks.length && !shown.length ? strings.noMatch : "");
    for (const [column, head] of this.#heads) {
      const state = this.#sort?.by === column ? (this.#sort.down ? "descending" : "ascending") : null;
      if (state) head.setAttribute("aria-sort", state);
      else head.removeAttribute("aria-sort");
    }
  }

  /** Whether the order may change with a track's answer. */
  get ordered(): boolean {
    return this.#sort !== null || this.#filter !== "";
  }

  select(track: Track | null): void {
    for (const [other, { element, name }] of this.#rows) {
      element.classList.toggle("selected", other === track);
      if (other === track) name.setAttribute("aria-current", "true");
      else name.removeAttribute("aria-current");
    }
    this.selected = track;
  }

  focus(track: Track): void {
    this.#rows.get(track)?.name.focus();
  }

  /** Show what is known of a track. */
  update(track: Track): void {
    let row = this.#rows.get(track);
    if (!row) {
      row = this.#build(track);
      this.#rows.set(track, row);
    }
    const { result, state, share } = track;
    row.element.dataset.state = state;
    say(row.key, result ? keyText(result.key) : "");
    row.key.className = "key";
    if (result) paint(row.key, result.key);
    const running = state === "decode" || state === "estimate";
    row.bar.style.setProperty("--share", String(result ? result.confidence : running ? share : 0));
    row.bar.classList.toggle("running", running);
    row.bar.hidden = !result && !running;
    say(row.sure, result ? `${percent(result.confidence)} %` : state in strings.state ? strings.state[state as keyof typeof strings.state] : "");
    say(row.note, track.error ? sentence(track.error) : "");
    say(row.tuning, result ? centsText(result.tuning) : "");
    say(row.seconds, result ? clock(result.seconds) : "");
  }

  #build(track: Track): Row {
    const slash = track.path.lastIndexOf("/") + 1;
    const folder = track.path.slice(0, slash);
    const name = h(
      "button",
      { type: "button", class: "name", title: track.path },
      folder ? h("span", { class: "folder" }, folder) : null,
      track.path.slice(slash),
    );
    const [key, sure, note] = [h("span"), h("span", { class: "sure" }), h("span", { class: "note" })];
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    // Roles, as on a phone the table is laid out without table cells.
    const cell = (kind: string, ...inside: Node[]) => h("td", { role: "cell", class: `is-${kind}` }, ...inside);
    const [tuning, seconds] = [cell("tuning"), cell("seconds")];
    const remove = h(
      "button",
      { type: "button", class: "plain remove", "aria-label": fill(strings.remove, { name: track.path }) },
      icon(CROSS),
    );
    remove.addEventListener("click", (event) => {
      event.stopPropagation();
      this.#remove(track);
    });
    const element = h(
      "tr",
      { role: "row", click: () => this.onSelect(track) },
      h("th", { role: "rowheader", scope: "row", class: "is-name" }, name, note),
      cell("key", key),
      cell("confidence", h("span", { class: "measure" }, bar, sure)),
      tuning,
      seconds,
      cell("remove", remove),
    );
    return { element, name, key, bar, sure, note, tuning, seconds };
  }

  #remove(track: Track): void {
    const shown = this.shown;
    const at = shown.indexOf(track);
    const next = shown[at + 1] ?? shown[at - 1];
    this.onRemove(track);
    if (next) this.focus(next);
  }

  #sortBy(column: Column): void {
    // Up, down, and as they came.
    if (this.#sort?.by !== column) this.#sort = { by: column, down: false };
    else this.#sort = this.#sort.down ? null : { by: column, down: true };
    this.arrange();
  }

  /** Arrow keys go from track to track, Delete removes one. */
  #key(event: KeyboardEvent): void {
    const shown = this.shown;
    const at = shown.findIndex((track) => this.#rows.get(track)!.name === event.target);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const places: Record<string, number> = {
      ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1,
    };
    const next = shown[places[event.key] ?? -1];
    if (event.key === "Delete") this.#remove(shown[at]);
    else if (next) {
      this.focus(next);
      this.onSelect(next);
    } else return;
    event.preventDefault();
  }
}

/** Sorted by a column; tracks without a value come last either way. */
function sorted(tracks: Track[], by: Column, down: boolean): Track[] {
  const value = values(tracks, by);
  const sign = down ? -1 : 1;
  return [...tracks].sort((one, other) => {
    const [a, b] = [value.get(one) ?? null, value.get(other) ?? null];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    if (typeof a === "string" && typeof b === "string") {
      return sign * a.localeCompare(b, undefined, { numeric: true });
    }
    return sign * (Number(a) - Number(b));
  });
}

function values(tracks: Track[], by: Column): Map<Track, string | number | null> {
  if (by === "key") {
    const keys = tracks.map(({ result }) => result?.key ?? null);
    const order = keyOrder(keys);
    return new Map(order.map((index, place) => [tracks[index], keys[index] && place]));
  }
  const of = (track: Track): string | number | null =>
    by === "name" ? track.path : track.result ? track.result[by] : null;
  return new Map(tracks.map((track) => [track, of(track)]));
}
