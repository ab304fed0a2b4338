/**
 * The key of what is playing, from samples as they come.
 *
 * The last seconds are a window for the network; the windows of the last minute are smoothed as in
 * a timeline, and the answer is that of the windows since the last change of key.
 */
import { PAUSE, SILENCE_PEAK, swing } from "./activity.ts";
import {
  answerOf, hearSegment, normalised, WINDOW_HOP, WINDOW_SECONDS, type Estimate, type Segment,
} from "./estimate.ts";
import type { Estimator } from "./estimator.ts";
import { mixDown } from "./mixing.ts";
import { Model } from "./model.ts";
import { roundEven } from "./numbers.ts";
import { resample } from "./resample.ts";
import { changePrices, evidenceOf, viterbi } from "./timeline.ts";
import { hearTuning } from "./tuning.ts";

export interface LiveOptions {
  /** Of the samples, in Hz. */
  sampleRate: number;
  /** Seconds from one answer to the next, 1 to 8. 2 by default. */
  every?: number;
  /** Correct music that is not tuned to A = 440 Hz. True by default. */
  tune?: boolean;
}

/** What is playing, as the answer to a recording that began `seconds` ago. */
export interface LiveEstimate extends Estimate {
  /** Seconds since the first sample. */
  time: number;
  /** When this key began, in the same seconds; null where there is no key. */
  since: number | null;
}

/** Hears a stream. */
export interface Listener {
  /**
   * Hear what follows, mono, full scale 1.
   *
   * @returns the answer that it makes due, the last of several; null for none.
   */
  push(samples: Float32Array): Promise<LiveEstimate | null>;
}

// Less than this says nothing about a key.
const FIRST_SECONDS = 3;
// What came before is forgotten; the tuning is that of fewer seconds.
const MEMORY_SECONDS = 60;
const TUNED_SECONDS = 30;
/** Share of a timeline's prices, which may wait for what follows. */
const PRICE = 0.5;

/**
 * Hears a stream with a model, or in the worker of an estimator.
 *
 * The answers do not depend on how the samples are divided among calls. Silence from one answer to
 * the next ends a piece: what follows is heard anew.
 */
export class Live implements Listener {
  #listener: Listener;

  constructor(by: Model | Estimator, options: LiveOptions) {
    this.#listener = by instanceof Model ? new Hearing(by, options) : by.listen(options);
  }

  push(samples: Float32Array): Promise<LiveEstimate | null> {
    return this.#listener.push(samples);
  }
}

class Hearing implements Listener {
  #model: Model;
  #rate: number;
  #tune: boolean;
  #step: number;
  #every: number;
  #prices: number[][];
  #heard = 0;
  #waiting: Float32Array = new Float32Array(0);
  #turn: Promise<unknown> = Promise.resolve();
  // Of the piece at hand.
  #sound: Float32Array[] = [];
  #windows: Segment[] = [];
  #peaks: number[] = [];
  #answered: LiveEstimate | null = null;

  constructor(model: Model, { sampleRate, every = WINDOW_HOP, tune = true }: LiveOptions) {
    if (!(every >= 1 && every <= WINDOW_SECONDS)) {
      throw new RangeError(
        `an answer every 1 to ${WINDOW_SECONDS} s is possible, not ${every}`,
      );
    }
    this.#model = model;
    this.#rate = sampleRate;
    this.#tune = tune;
    this.#step = roundEven(every * sampleRate);
    this.#every = this.#step / sampleRate;
    this.#prices = changePrices(model.labels).map((row) => row.map((price) => PRICE * price));
  }

  push(samples: Float32Array): Promise<LiveEstimate | null> {
    const block = samples.slice(); // the caller may use the buffer again
    const found = this.#turn.then(() => this.#add(block));
    this.#turn = found.catch(() => {});
    return found;
  }

  async #add(block: Float32Array): Promise<LiveEstimate | null> {
    this.#waiting = joined([this.#waiting, block]);
    let answer: LiveEstimate | null = null;
    while (this.#waiting.length >= this.#step) {
      const step = this.#waiting.slice(0, this.#step);
      this.#waiting = this.#waiting.slice(this.#step);
      answer = await this.#hear(step);
    }
    return answer;
  }

  async #hear(samples: Float32Array): Promise<LiveEstimate> {
    this.#heard += samples.length;
    const now = this.#heard / this.#rate;
    const mono = mixDown([samples], this.#rate).samples;
    const peak = swing(mono);
    if (peak < Math.max(SILENCE_PEAK, PAUSE * Math.max(0, ...this.#peaks))) {
      this.#sound = [];
      this.#windows = [];
      this.#peaks = [];
      this.#answered = null;
      return this.#estimate([], now, null, ["silence"]);
    }
    const kept = (seconds: number) => -roundEven(seconds / this.#every);
    this.#peaks = [...this.#peaks, peak].slice(kept(MEMORY_SECONDS));
    this.#sound = [...this.#sound, mono].slice(kept(TUNED_SECONDS));
    const sound = joined(this.#sound);
    const { cents, correction } = hearTuning(sound, this.#rate);
    const window = sound.slice(-roundEven(WINDOW_SECONDS * this.#rate));
    const seconds = window.length / this.#rate;
    if (seconds >= FIRST_SECONDS) {
      const rate = this.#model.sampleRate * 2 ** ((this.#tune ? correction : 0) / 1200);
      const heard = normalised(resample(window, this.#rate, rate));
      const probabilities = await hearSegment(this.#model, heard);
      const segment = { start: now - seconds, end: now, probabilities, counted: true };
      this.#windows = [...this.#windows, segment].slice(kept(MEMORY_SECONDS));
    }
    this.#answered = this.#answer(now, cents);
    return this.#answered;
  }

  /** What the windows since the last change of key say. */
  #answer(now: number, tuning: number | null): LiveEstimate {
    const windows = this.#windows;
    if (!windows.length) return this.#estimate([], now, tuning);
    const share = this.#every / WINDOW_SECONDS;
    const path = viterbi(windows.map((w) => evidenceOf(w.probabilities, share)), this.#prices);
    const state = path[path.length - 1];
    let first = path.length - 1;
    while (first > 0 && path[first - 1] === state) first--;
    const found = this.#estimate(windows.slice(first), now, tuning);
    if (found.key === null) return found;
    // The mean is not smoothed, and would come and go.
    found.key = found.labels[state];
    found.confidence = found.probabilities[state];
    const before = this.#answered;
    found.since = before?.key === found.key ? before.since : windows[first].start;
    return found;
  }

  #estimate(
    segments: Segment[],
    time: number,
    tuning: number | null,
    warnings: string[] = [],
  ): LiveEstimate {
    const found = answerOf(this.#model, segments);
    return {
      ...found,
      warnings: [...warnings, ...found.warnings],
      tuning,
      segments,
      windows: [],
      seconds: segments.length ? time - segments[0].start : 0,
      labels: this.#model.labels,
      model: this.#model.name,
      time,
      since: null,
    };
  }
}

function joined(parts: Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
