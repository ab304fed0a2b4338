/** The key of what is playing, from the microphone. */
import { createEstimator, Live, type LiveEstimate } from "../../js/src/index.ts";
import { drawCircle } from "./circle.ts";
import { h, say } from "./dom.ts";
import { clock, keyText, paint, percent } from "./look.ts";
import { fill, strings } from "./strings.ts";
import { Mixes } from "./mixes.ts";
import { place, reason, type Track } from "./tracks.ts";

export class Microphone {
  readonly element: HTMLElement;
  onChange: () => void = () => {};
  readonly mixes = new Mixes();
  #others: () => readonly Track[];
  #asking = false;
  #stop: (() => void) | null = null;
  #result: LiveEstimate | null = null;
  #note = h("p", { role: "status" });
  #key = h("p", { class: "big-key", "aria-live": "polite" });
  #sure = h("p", { class: "quiet" });
  #level = h("meter", { min: 0, max: 1, value: 0, "aria-label": strings.level });
  #past = h("ol", { class: "past", "aria-label": strings.listenPast });
  #circle = h("div");
  #mixing = h("div", {}, h("h3", {}, strings.mixes), this.mixes.element);

  /** @param others gives the tracks that what is playing may mix with. */
  constructor(others: () => readonly Track[]) {
    this.#others = others;
    this.element = h("section", { class: "microphone", "aria-label": strings.listen, hidden: true },
      h("div", { class: "heard" },
        h("h2", {}, strings.listening), this.#key, this.#sure, this.#note, this.#level, this.#past),
      this.#circle, this.#mixing);
  }

  get on(): boolean {
    return this.#stop !== null;
  }

  async toggle(): Promise<void> {
    if (this.#asking) return; // a second stream would never be stopped
    if (this.#stop) this.#end("");
    else await this.#begin();
  }

  /** Write the keys anew, after another notation. */
  update(): void {
    if (this.#result) this.#show(this.#result);
  }

  async #begin(): Promise<void> {
    this.element.hidden = false;
    say(this.#key, "");
    say(this.#sure, "");
    this.#past.replaceChildren();
    this.#circle.replaceChildren();
    this.#mixing.hidden = true;
    this.#result = null;
    say(this.#note, strings.listenWait);
    let stream: MediaStream;
    this.#asking = true;
    try {
      if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
      // What makes speech clearer spoils music.
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      this.#end(refusal(error));
      return;
    } finally {
      this.#asking = false;
    }
    const context = new AudioContext();
    const estimator = createEstimator({ ...place, threads: 1 });
    const stop = () => {
      for (const track of stream.getTracks()) track.stop();
      void context.close();
      estimator.close();
    };
    this.#stop = stop;
    // What was stopped, and perhaps begun anew, says no more.
    const on = () => this.#stop === stop;
    this.onChange();
    try {
      await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
      const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
      context.createMediaStreamSource(stream).connect(recorder);
      const live = new Live(estimator, { sampleRate: context.sampleRate });
      say(this.#note, strings.listenMore);
      recorder.port.onmessage = ({ data }: MessageEvent<Float32Array>) => {
        this.#level.value = Math.sqrt(data.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
        live
          .push(data)
          .then((found) => found && on() && this.#answer(found))
          .catch((error: unknown) => on() && this.#end(reason(error)));
      };
      stream.getTracks()[0].addEventListener("ended", () => on() && this.#end(strings.listenNone));
    } catch (error) {
      if (on()) this.#end(fill(strings.listenFailed, { reason: reason(error) }));
    }
  }

  #answer(result: LiveEstimate): void {
    const before = this.#result?.key;
    this.#result = result;
    if (result.key !== null && result.key !== before) {
      const chip = h("span", { class: "key" });
      chip.dataset.label = result.key;
      paint(chip, result.key);
      const since = clock(result.since ?? result.time);
      this.#past.prepend(h("li", {}, h("span", { class: "quiet" }, since), chip));
    }
    this.#show(result);
  }

  #show(result: LiveEstimate): void {
    const { key, confidence, since, segments } = result;
    // After a pause, and before the first answer, there is nothing to say.
    say(this.#note, segments.length ? "" : strings.listenMore);
    say(this.#key, segments.length ? keyText(key) : "");
    paint(this.#key, key);
    const values = { share: percent(confidence), time: clock(since ?? 0) };
    say(this.#sure, key === null ? "" : fill(strings.listenSure, values));
    this.#mixing.hidden = key === null || !this.#others().length;
    this.mixes.show(key, this.#others());
    this.#circle.replaceChildren(drawCircle(result.labels, result.probabilities, key));
    for (const chip of this.#past.querySelectorAll<HTMLElement>(".key")) {
      say(chip, keyText(chip.dataset.label!));
    }
  }

  #end(text: string): void {
    this.#stop?.();
    this.#stop = null;
    this.#level.value = 0;
    say(this.#note, text);
    this.element.hidden = !text;
    this.onChange();
  }
}

/** Why the microphone cannot be had, in words. */
function refusal(error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError") return strings.listenRefused;
  if (name === "NotFoundError") return strings.listenNone;
  if (name === "SecurityError" || !isSecureContext) return strings.listenInsecure;
  return fill(strings.listenFailed, { reason: reason(error) });
}
