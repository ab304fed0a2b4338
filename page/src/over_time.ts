/** A recording over time: its waveform with a player, its keys, and how likely each was. */
import type { Result, Span } from "../../js/src/index.ts";
import { fifths } from "../../js/src/index.ts";
import { h, icon, say } from "./dom.ts";
import { clock, isMinor, keyColour, keyText, paint, percent, sentence, shortText } from "./look.ts";
import { Paper, type Ink } from "./paper.ts";
import type { Player } from "./player.ts";
import { fill, strings } from "./strings.ts";

const PLAY = "M7 4.5v15l12.5-7.5z";
const PAUSE = "M6.5 5h4v14h-4zM13.5 5h4v14h-4z";
const STEP = 5; // seconds that an arrow key moves
const BAR = 3; // pixels of a bar of the waveform, gap included
const ROW = 30; // pixels of a key's row
const MOST_ROWS = 8;
const WORTH_A_ROW = 0.12;

/** The part of the panel that has time from left to right. */
export class OverTime {
  readonly element: HTMLElement;
  #result: Result | null = null;
  #rows: number[] = [];
  #player: Player;
  #play = h("button", { class: "play", type: "button", click: () => this.#player.toggle() });
  #wave = new Paper((ink) => this.#drawWave(ink));
  #ridges = new Paper((ink) => this.#drawRidges(ink));
  #slider = h("div", { class: "wave", role: "slider", tabindex: 0, "aria-label": strings.position });
  #time = h("p", { class: "time" });
  #lane = h("div", { class: "lane", "aria-hidden": "true" });
  #names = h("div", { class: "ridge-names", "aria-hidden": "true" });
  #axis = h("div", { class: "axis", "aria-hidden": "true" });
  #needle = h("div", { class: "needle", "aria-hidden": "true" });
  #plot = h("div", { class: "ridges", role: "img" }, this.#ridges.canvas, this.#needle);
  #table = h("tbody");
  #note = h("p", { class: "quiet" });
  #shown = { playing: null as boolean | null, text: "" };

  constructor(player: Player) {
    this.#player = player;
    this.#slider.append(this.#wave.canvas);
    this.#slider.addEventListener("pointerdown", (event) => this.#grab(event));
    this.#slider.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("themechange", () => this.#redraw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
    const heads = [strings.from, strings.to, strings.key, strings.confidence];
    this.element = h(
      "section",
      { class: "over-time", "aria-labelledby": "over-time" },
      h("h3", { id: "over-time" }, strings.overTime),
      h(
        "div",
        { class: "tracks-in-time" },
        this.#play, this.#slider,
        h("span"), this.#lane,
        this.#names, this.#plot,
        h("span"), this.#axis,
      ),
      this.#time,
      this.#note,
      h(
        "details",
        {},
        h("summary", {}, strings.overTimeText),
        h("table", { class: "spans" },
          h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
          this.#table),
      ),
    );
  }

  /** Show a recording; `closer` is the share of its keys over time that is done. */
  show(result: Result, closer: number | null): void {
    if (result !== this.#result) {
      this.#result = result;
      this.#rows = likelyRows(result);
      this.#build(result);
      this.#redraw();
      this.move();
    }
    const part = closer === null ? "" : fill(strings.overTimePart, { share: percent(closer) });
    const note = part || (result.timeline?.warnings.map(sentence).join(" ") ?? "");
    say(this.#note, note);
    this.#note.hidden = !note;
    this.element.setAttribute("aria-busy", String(part !== ""));
  }

  /** Names and colours anew, after another notation. */
  rename(): void {
    if (this.#result) this.#build(this.#result);
    this.move();
  }

  #redraw(): void {
    this.#wave.draw();
    this.#ridges.draw();
  }

  #build(result: Result): void {
    const spans = spansOf(result);
    this.#lane.replaceChildren(
      ...spans.map((span) => {
        const block = h("span", { title: spanText(span) }, shortText(span.key));
        paint(block, span.key);
        block.style.left = `${(100 * span.start) / result.seconds}%`;
        block.style.width = `${(100 * (span.end - span.start)) / result.seconds}%`;
        return block;
      }),
    );
    this.#lane.classList.toggle("empty", !spans.length);
    this.#names.replaceChildren(
      ...this.#rows.map((row) => {
        const name = h("span", {}, shortText(result.labels[row]));
        paint(name, result.labels[row]);
        return name;
      }),
    );
    this.#plot.style.height = `${ROW * this.#rows.length}px`;
    const likely = this.#rows.map((row) => keyText(result.labels[row])).join(", ");
    this.#plot.setAttribute("aria-label", fill(strings.overTimeSays, { list: likely }));
    this.#axis.replaceChildren(
      ...ticks(result.seconds).map((time) => {
        const mark = h("span", {}, clock(time));
        mark.style.left = `${(100 * time) / result.seconds}%`;
        return mark;
      }),
    );
    this.#table.replaceChildren(
      ...spans.map(({ start, end, key, confidence }) =>
        h("tr", {},
          ...[clock(start), clock(end), keyText(key), `${percent(confidence)} %`].map((cell) =>
            h("td", {}, cell))),
      ),
    );
    this.#slider.setAttribute("aria-valuemin", "0");
    this.#slider.setAttribute("aria-valuemax", String(Math.round(result.seconds)));
  }

  /** Show where the player is. */
  move(): void {
    const result = this.#result;
    if (!result) return;
    const { time, playing, failed } = this.#player;
    if (playing !== this.#shown.playing) {
      this.#shown.playing = playing;
      this.#play.replaceChildren(icon(playing ? PAUSE : PLAY));
      this.#play.setAttribute("aria-label", playing ? strings.pause : strings.play);
    }
    this.#play.disabled = failed;
    const key = spansOf(result).find(({ end }) => time < end)?.key ?? null;
    const values = { time: clock(time), all: clock(result.seconds) };
    const text = failed ? strings.cannotPlay : fill(strings.positionOf, values);
    const spoken = key ? fill(strings.positionKey, { ...values, key: keyText(key) }) : text;
    if (spoken !== this.#shown.text) {
      this.#shown.text = spoken;
      say(this.#time, text);
      this.#slider.setAttribute("aria-valuenow", String(Math.round(time)));
      this.#slider.setAttribute("aria-valuetext", spoken);
    }
    this.#needle.style.left = `${(100 * time) / result.seconds}%`;
    this.#needle.hidden = !time;
    this.#wave.draw();
  }

  #grab(event: PointerEvent): void {
    const seek = ({ clientX }: PointerEvent) => {
      const { left, width } = this.#slider.getBoundingClientRect();
      this.#player.time = ((clientX - left) / width) * (this.#result?.seconds ?? 0);
    };
    seek(event);
    this.#slider.setPointerCapture(event.pointerId);
    this.#slider.addEventListener("pointermove", seek);
    const drop = () => this.#slider.removeEventListener("pointermove", seek);
    this.#slider.addEventListener("lostpointercapture", drop, { once: true });
  }

  #key(event: KeyboardEvent): void {
    const seconds = this.#result?.seconds ?? 0;
    const { time } = this.#player;
    const places: Record<string, number> = {
      ArrowLeft: time - STEP, ArrowDown: time - STEP, ArrowRight: time + STEP, ArrowUp: time + STEP,
      PageDown: time - 6 * STEP, PageUp: time + 6 * STEP, Home: 0, End: seconds,
    };
    if (event.key in places) this.#player.time = places[event.key];
    else if (event.key === " " || event.key === "Enter") this.#player.toggle();
    else return;
    event.preventDefault();
  }

  #drawWave({ context, width, height, colour }: Ink): void {
    const result = this.#result;
    if (!result) return;
    const { waveform, seconds } = result;
    const points = waveform.length / 2;
    const loudest = waveform.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-4);
    const bars = Math.max(1, Math.floor(width / BAR));
    const now = (this.#player.time / seconds) * width;
    const spans = spansOf(result);
    let span = 0;
    for (let bar = 0; bar < bars; bar++) {
      const from = Math.floor((bar * points) / bars);
      const to = Math.max(from + 1, Math.floor(((bar + 1) * points) / bars));
      let peak = 0;
      for (let point = from; point < to; point++) {
        peak = Math.max(peak, -waveform[2 * point], waveform[2 * point + 1]);
      }
      const time = ((bar + 0.5) / bars) * seconds;
      while (span < spans.length - 1 && time >= spans[span].end) span++;
      const x = (bar / bars) * width;
      const size = Math.max(2, (peak / loudest) * (height - 4));
      context.fillStyle = keyColour(spans[span]?.key ?? null, now && x > now ? 0.5 : 1);
      context.beginPath();
      context.roundRect(x, (height - size) / 2, BAR - 1, size, 1);
      context.fill();
    }
    if (!now) return;
    context.fillStyle = colour("--ink");
    context.fillRect(Math.min(now, width - 2), 0, 2, height);
  }

  #drawRidges({ context, width, colour }: Ink): void {
    const result = this.#result;
    if (!result) return;
    const { steps, table } = gridOf(result);
    this.#rows.forEach((row, number) => {
      const base = ROW * (number + 1) - 1;
      const label = result.labels[row];
      context.fillStyle = colour("--line");
      context.fillRect(0, base, width, 1);
      if (!steps.length) return;
      const points = steps.map((time, i): [number, number] => [
        (time / result.seconds) * width,
        base - table[i][row] * (ROW - 5),
      ]);
      points.unshift([0, points[0][1]]);
      points.push([width, points[points.length - 1][1]]);
      const path = new Path2D();
      path.moveTo(...points[0]);
      for (let i = 1; i < points.length; i++) {
        const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
        path.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
      }
      const area = new Path2D(path);
      area.lineTo(width, base);
      area.lineTo(0, base);
      context.fillStyle = keyColour(label, label === result.key ? 0.75 : 0.45);
      context.fill(area);
      context.strokeStyle = keyColour(label);
      context.lineWidth = 1.5;
      context.stroke(path);
    });
  }
}

/** Times and probabilities of the windows, or of the segments while there are no windows. */
function gridOf(result: Result): { steps: number[]; table: ArrayLike<number>[] } {
  if (result.timeline?.times.length) {
    return { steps: result.timeline.times, table: result.timeline.probabilities };
  }
  const counted = result.segments.filter(({ counted }) => counted);
  return {
    steps: counted.map(({ start, end }) => (start + end) / 2),
    table: counted.map(({ probabilities }) => probabilities),
  };
}

/** The spans of one key each; before they are found, the key of the whole. */
function spansOf({ timeline, key, seconds, confidence }: Result): readonly Span[] {
  if (timeline) return timeline.spans;
  return key === null ? [] : [{ start: 0, end: seconds, key, confidence }];
}

function spanText({ start, end, key, confidence }: Span): string {
  return `${clock(start)}–${clock(end)} ${keyText(key)}, ${percent(confidence)} %`;
}

/** The keys worth a row, as the circle of fifths goes, the answer's side first. */
function likelyRows(result: Result): number[] {
  const { table } = gridOf(result);
  const peaks = result.labels.map((_, row) => table.reduce((most, p) => Math.max(most, p[row]), 0));
  const spanned = new Set(spansOf(result).map(({ key }) => key));
  const sums = result.labels.map((_, row) => table.reduce((sum, p) => sum + p[row], 0));
  const home = result.key ? fifths(result.key) : 0;
  const around = (row: number) => ((fifths(result.labels[row]) - home + 18) % 12) * 2;
  return result.labels
    .map((_, row) => row)
    .filter((row) => peaks[row] > WORTH_A_ROW || spanned.has(result.labels[row]))
    .sort((a, b) => sums[b] - sums[a])
    .slice(0, MOST_ROWS)
    .sort((a, b) => around(b) - around(a) || Number(isMinor(result.labels[a])) - Number(isMinor(result.labels[b])));
}

/** Round times, some six of them. */
function ticks(seconds: number): number[] {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((size) => seconds / size <= 6.5) ?? 3600;
  const found: number[] = [];
  for (let time = 0; time < seconds - step / 3; time += step) found.push(time);
  return found;
}

