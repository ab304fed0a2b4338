/**
 * The key of what is playing, from samples as they come.
 *
 * Every few seconds the network hears the last segment. The answer pools the segments since the
 * last change of key or silence, and no more than the last minute of them.
 */
import {
  FRAME_SECONDS, levelsOf, noSignal, PAUSE, peakOf, SILENCE_PEAK, swing,
} from "./activity.ts";
import { answerOf, hearSegment, type Estimate, type Segment } from "./estimate.ts";
import type { Estimator } from "./estimator.ts";
import { Model } from "./model.ts";
import { argmax, roundEven } from "./numbers.ts";
import { resample, StreamResampler } from "./resample.ts";
import { changePrices, DOUBT } from "./timeline.ts";
import { hearTuning } from "./tuning.ts";

export interface LiveOptions {
  /** Of the samples, in whole Hz. */
  sampleRate: number;
  /** The most that an answer looks back, in seconds, at least a segment. 60 by default. */
  window?: number;
  /** Seconds of sound from one answer to the next, at most a segment. 3 by default. */
  every?: number;
  /** Correct music that is not tuned to A = 440 Hz. True by default. */
  tune?: boolean;
}

/** The key of what is playing; `seconds` is how long what it speaks of has been playing. */
export interface LiveEstimate extends Estimate {
  /** Seconds from the first sample to the end of what was heard. */
  time: number;
  /** When the music began that it speaks of: the start, the last change of key or silence. */
  since: number;
}

/** Hears a stream. */
export interface Listener {
  /**
   * Hear more of the stream, mono, full scale 1.
   *
   * @returns the answer that became due, the last where there are several; null where none did.
   */
  push(samples: Float32Array): Promise<LiveEstimate | null>;
}

// No pause within a piece, as a rule, but the one between two.
const SILENCE_SECONDS = 2;
/** Of the prices of a timeline, which hears what comes after a change, too. */
const PRICE_SHARE = 1 / 3;

/** Hears a stream with a model, or in the worker of an estimator. */
export class Live implements Listener {
  #listener: Listener;

  constructor(by: Model | Estimator, options: LiveOptions) {
    this.#listener = by instanceof Model ? new Hearing(by, options) : by.listen(options);
  }

  push(samples: Float32Array): Promise<LiveEstimate | null> {
    return this.#listener.push(samples);
  }
}

/** What the network said of the samples `start` to `end` at the model's rate. */
interface Heard {
  start: number;
  end: number;
  loudness: number;
  output: Float32Array;
  /** Share of a segment that none before had heard. */
  adds: number;
}

class Hearing implements Listener {
  #model: Model;
  #tune: boolean;
  #rate: number;
  #length: number;
  #window: number;
  #hop: number;
  #prices: number[][];
  #stream: StreamResampler;
  // Mono at the model's rate, up to the last ones, and the place of the first.
  #samples = new Float32Array(0);
  #origin = 0;
  #next: number;
  #turn: Promise<unknown> = Promise.resolve();
  // Of the music at hand: where it began, what was heard of it and last answered, and by how many
  // cents the last segment's pitch was lowered.
  #since = 0;
  #heard: Heard[] = [];
  #label: string | null = null;
  #cents: number | null = null;

  constructor(model: Model, options: LiveOptions) {
    const { sampleRate, window = 60, every = 3, tune = true } = options;
    const segment = model.segmentSeconds;
    if (!(every >= 0.5 && every <= segment)) {
      throw new RangeError(`every must be 0.5 to ${segment} s, not ${every}`);
    }
    if (!(window >= segment && window <= 600)) {
      throw new RangeError(`window must be ${segment} to 600 s, not ${window}`);
    }
    this.#model = model;
    this.#tune = tune;
    this.#rate = model.sampleRate;
    this.#length = roundEven(segment * this.#rate);
    this.#window = roundEven(window * this.#rate);
    this.#next = this.#hop = roundEven(every * this.#rate);
    this.#prices = livePrices(model.labels);
    this.#stream = new StreamResampler(sampleRate, this.#rate);
  }

  push(samples: Float32Array): Promise<LiveEstimate | null> {
    const found = this.#turn.then(() => this.#add(this.#stream.push(samples)));
    this.#turn = found.catch(() => {});
    return found;
  }

  async #add(block: Float32Array): Promise<LiveEstimate | null> {
    const all = new Float32Array(this.#samples.length + block.length);
    all.set(this.#samples);
    all.set(block, this.#samples.length);
    this.#samples = all;
    let answer: LiveEstimate | null = null;
    for (; this.#origin + this.#samples.length >= this.#next; this.#next += this.#hop) {
      answer = await this.#answer(this.#next);
    }
    const drop = this.#samples.length - this.#window - this.#hop;
    if (drop > 0) {
      this.#samples = this.#samples.slice(drop);
      this.#origin += drop;
    }
    return answer;
  }

  #part(start: number, end: number): Float32Array {
    return this.#samples.subarray(Math.max(0, start - this.#origin), end - this.#origin);
  }

  /** The answer at a place, which no earlier one follows. */
  async #answer(end: number): Promise<LiveEstimate> {
    let oldest = Math.max(this.#since, end - this.#window);
    const quiet = lastSilence(this.#part(oldest, end), this.#rate);
    if (quiet !== null) {
      this.#since = oldest += quiet;
      this.#heard = [];
      this.#label = this.#cents = null;
    }
    const known = this.#part(oldest, end);
    const silent = known.length ? noSignal(known, this.#rate) : "silence";
    const tuning = silent ? null : await this.#hear(known, oldest, end);
    this.#heard = this.#heard.filter((heard) => heard.start >= oldest);
    const change = this.#change();
    if (change !== null) {
      // Half-way between the centres of the segments, as in a timeline.
      const [first, second] = this.#heard.slice(change - 1, change + 1);
      this.#since = oldest = roundEven((first.start + first.end + second.start + second.end) / 4);
      this.#heard = this.#heard.slice(change);
      this.#label = null;
    }
    const peak = peakOf(known);
    const segments = this.#heard.map(
      ({ start, end, output, loudness }): Segment => ({
        start: start / this.#rate,
        end: end / this.#rate,
        probabilities: output,
        counted: loudness > PAUSE * peak,
      }),
    );
    const found = answerOf(this.#model, silent ? [] : segments, this.#label);
    this.#label = found.key;
    if (silent) found.warnings.push(silent);
    return {
      ...found,
      tuning,
      segments,
      windows: [],
      seconds: (end - oldest) / this.#rate,
      labels: this.#model.labels,
      model: this.#model.name,
      time: end / this.#rate,
      since: this.#since / this.#rate,
    };
  }

  /** Hear the segment that ends at a place; returns the deviation from A = 440 Hz in cents. */
  async #hear(known: Float32Array, oldest: number, end: number): Promise<number | null> {
    const { cents, correction } = hearTuning(known, this.#rate);
    let lowered = this.#tune ? correction : 0;
    if (this.#cents !== null && this.#tune) {
      // Music half a semitone off must not go from one neighbour to the other.
      lowered += 100 * roundEven((this.#cents - lowered) / 100);
    }
    this.#cents = lowered;
    const rate = this.#rate * 2 ** (lowered / 1200);
    const start = Math.max(oldest, end - roundEven((this.#length * this.#rate) / rate));
    const part = known.subarray(start - oldest);
    const peak = peakOf(known);
    const scaled = part.map((x) => x / peak);
    const output = await hearSegment(
      this.#model,
      resample(scaled, this.#rate, rate).subarray(0, this.#length),
    );
    // The same music, now more of it.
    if (this.#heard.at(-1)?.start === start) this.#heard.pop();
    const adds = (end - Math.max(start, this.#heard.at(-1)?.end ?? start)) / this.#length;
    this.#heard.push({ start, end, loudness: swing(part), output, adds });
    return cents;
  }

  /**
   * The number of the first segment of another key; null where there is no change.
   *
   * Two keys must explain the segments better than any single one by more than the price of a
   * change, at the best place for it.
   */
  #change(): number | null {
    const { labels } = this.#model;
    const count = labels.length;
    if (this.#heard.length < 2) return null;
    // The last column stands for no key, of which all labels are equally probable. Sums so far:
    const sums: number[][] = [];
    for (const { output, adds } of this.#heard) {
      const before = sums.at(-1);
      sums.push(
        Array.from({ length: count + 1 }, (_, k) => {
          const likely = k < count ? (1 - DOUBT) * output[k] + DOUBT / count : 1 / count;
          return (before ? before[k] : 0) + adds * Math.log(likely);
        }),
      );
    }
    const all = sums[sums.length - 1];
    // What is answered now is nothing to change to.
    const now = this.#label === null ? count : labels.indexOf(this.#label);
    const both = sums.slice(0, -1).map((before) => {
      let best = -Infinity;
      for (let two = 0; two <= count; two++) {
        if (two === now) continue;
        const after = all[two] - before[two];
        for (let one = 0; one <= count; one++) {
          best = Math.max(best, before[one] + after - this.#prices[one][two]);
        }
      }
      return best;
    });
    const place = argmax(both);
    return both[place] > Math.max(...all) ? place + 1 : null;
  }
}

/** Prices of a change among the labels, and last "no key", to which all are equally far. */
function livePrices(labels: readonly string[]): number[][] {
  const among = changePrices(labels).map((row) => row.map((price) => PRICE_SHARE * price));
  const count = labels.length;
  const mean = among.flat().reduce((a, b) => a + b) / (count * (count - 1));
  return [...among.map((row) => [...row, mean]), [...labels.map(() => mean), 0]];
}

/** Where the last silence of `SILENCE_SECONDS` or more ends; null without one. */
function lastSilence(samples: Float32Array, rate: number): number | null {
  const { levels, frame } = levelsOf(samples, rate);
  if (samples.length % frame) levels.pop();
  const limit = Math.max(SILENCE_PEAK, PAUSE * levels.reduce((a, b) => Math.max(a, b), 0));
  const least = roundEven(SILENCE_SECONDS / FRAME_SECONDS);
  let [run, end] = [0, -1];
  levels.forEach((level, i) => {
    run = level <= limit ? run + 1 : 0;
    if (run >= least) end = i + 1;
  });
  if (end < 0) return null;
  return end === levels.length ? samples.length : end * frame;
}
