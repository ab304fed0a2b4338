/** The page: what was dropped becomes rows, and the selected row is shown in full. */
import { Details } from "./details.ts";
import { h, icon, say } from "./dom.ts";
import { chosen, dropped, type Found } from "./files.ts";
import { List } from "./list.ts";
import { Microphone } from "./microphone.ts";
import { sentence } from "./look.ts";
import { applyTheme, remember, settings, type Offered, type Theme } from "./settings.ts";
import { LANGUAGE, strings } from "./strings.ts";
import { button, Tools } from "./tools.ts";
import { Tracks, type Track } from "./tracks.ts";
import { decoration } from "./circle.ts";

const MIC = "M12 14.5a3.5 3.5 0 0 0 3.5-3.5V6a3.5 3.5 0 0 0-7 0v5a3.5 3.5 0 0 0 3.5 3.5zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21";
const NARROW = matchMedia("(max-width: 899px)");

const tracks = new Tracks();
const list = new List();
const details = new Details();
const microphone = new Microphone(() => tracks.all);

const files = h("input", { type: "file", multiple: true, hidden: true, id: "files" });
const folder = h("input", { type: "file", multiple: true, hidden: true, webkitdirectory: true, id: "folder" });
for (const input of [files, folder]) {
  input.addEventListener("change", () => {
    add(chosen(input.files ?? []));
    input.value = ""; // so that the same may be chosen again
  });
}
const pick = () => files.click();
const pickFolder = () => folder.click();
const tools = new Tools(tracks, list, pick, pickFolder, () => {
  remove([...tracks.all]);
  welcome.querySelector("button")?.focus();
});

const listen = h("button", { type: "button", class: "listen", click: () => void microphone.toggle() },
  icon(MIC), h("span", {}, strings.listen));
const header = h("header", { class: "top" },
  h("div", { class: "brand" },
    h("img", { src: "icon.svg", alt: "", width: 36, height: 36 }),
    h("h1", {}, "stonekey"), h("p", {}, strings.tagline)),
  h("div", { class: "choices" },
    choice<Offered>(strings.notation, strings.notations, settings.notation, (value) => {
      settings.notation = value;
      remember();
      for (const track of tracks.all) list.update(track);
      list.arrange();
      microphone.update();
      showDetails();
    }),
    choice<Theme>(strings.theme, strings.themes, settings.theme, (value) => {
      settings.theme = value;
      remember();
      applyTheme();
    }),
    listen));
const problem = h("p", { class: "problem", role: "alert" });
const welcome = h("section", { class: "welcome", "aria-label": strings.dropTitle },
  decoration(true),
  h("div", {},
    h("h2", {}, strings.dropTitle),
    h("p", {}, strings.dropHint),
    h("div", { class: "actions" },
      button(strings.pickFiles, pick), button(strings.pickFolder, pickFolder)),
    h("p", { class: "private" }, strings.private)));
const soon = h("p", { class: "quiet" });
const blank = h("div", { class: "details blank" }, decoration(false), soon);
const work = h("div", { class: "work" },
  h("section", { class: "tracks", "aria-label": strings.tracks }, tools.element, list.element),
  details.element, blank);
const veil = h("div", { class: "veil", "aria-hidden": "true", hidden: true }, h("p", {}, strings.dropNow));

function choice<T extends string>(
  label: string, options: Record<T, string>, value: T, change: (value: T) => void,
): HTMLElement {
  const select = h("select", { change: () => change(select.value as T) });
  for (const [name, text] of Object.entries<string>(options)) {
    select.append(h("option", { value: name }, text));
  }
  select.value = value;
  return h("label", { class: "choice" }, h("span", {}, label), select);
}

function add(found: Found[]): void {
  say(problem, found.length ? "" : strings.noMusic);
  if (found.length) tracks.add(found);
}

function remove(gone: Track[]): void {
  if (list.selected && gone.includes(list.selected)) unselect();
  tracks.remove(gone);
}

function unselect(): void {
  details.silence();
  void tracks.lookCloser(null);
  list.select(null);
}

function select(track: Track): void {
  if (track === list.selected) return;
  list.select(track);
  void tracks.lookCloser(track);
  showDetails();
}

/** Open a row that somebody has asked for; on a phone its details are below the list. */
function open(track: Track): void {
  select(track);
  if (NARROW.matches && track.result) details.focus();
}

function showDetails(): void {
  const track = list.selected;
  details.element.hidden = !track?.result;
  blank.hidden = !details.element.hidden;
  say(soon, track?.error ? sentence(track.error) : tracks.busy && !track ? strings.soon : strings.selectOne);
  if (track?.result) details.show(track, tracks.all);
}

tracks.onChange = (track) => {
  if (track) {
    list.update(track);
    if (track.state === "done" && list.ordered) list.arrange();
  } else {
    list.tracks = tracks.all;
    list.select(list.selected);
  }
  welcome.hidden = tracks.all.length > 0;
  work.hidden = !tracks.all.length;
  tools.update();
  if (track?.state === "done" && !list.selected) select(track);
  else if (track?.state === "done" && track === list.selected && !track.looked && track.closer === null) {
    void tracks.lookCloser(track);
  }
  // Another track counts when it may mix with the selected one.
  if (!track || track === list.selected || track.state === "done") showDetails();
};
list.onSelect = open;
list.onRemove = (track) => remove([track]);
for (const { mixes } of [details, microphone]) {
  mixes.onSelect = (track) => {
    open(track);
    list.focus(track);
  };
}
details.onBack = () => list.selected && list.focus(list.selected);
microphone.onChange = () => {
  listen.setAttribute("aria-pressed", String(microphone.on));
  say(listen.querySelector("span")!, microphone.on ? strings.listenStop : strings.listen);
};

// Dropping anywhere on the page.
let inside = 0;
const withFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
const over = (change: number) => (event: DragEvent) => {
  if (!withFiles(event)) return;
  inside += change;
  veil.hidden = inside <= 0;
};
addEventListener("dragenter", over(1));
addEventListener("dragleave", over(-1));
addEventListener("dragover", (event) => {
  if (withFiles(event)) event.preventDefault();
});
addEventListener("drop", (event) => {
  if (!event.dataTransfer || !withFiles(event)) return;
  event.preventDefault();
  inside = 0;
  veil.hidden = true;
  void dropped(event.dataTransfer).then(add);
});
addEventListener("beforeunload", (event) => {
  if (tracks.busy) event.preventDefault();
});

document.documentElement.lang = LANGUAGE;
document.title = strings.title;
applyTheme();
work.hidden = true;
details.element.hidden = true;
document.getElementById("page")!.append(
  header, files, folder, h("main", {}, problem, microphone.element, welcome, work), veil);
