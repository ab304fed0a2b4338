/** The key of what is playing now. */
import { estimate, type Estimate } from "./estimate.ts";
import type { Estimator } from "./estimator.ts";
import { Model } from "./model.ts";

export interface LiveOptions {
  /** Of the samples, in Hz. */
  sampleRate: number;
  /** Seconds that an answer is about: the last ones. 30 by default. */
  window?: number;
  /** Seconds of sound from one answer to the next. 3 by default. */
  every?: number;
  /** Correct music that is not tuned to A = 440 Hz. True by default. */
  tune?: boolean;
}

/** The answer for the last seconds before a time. */
export interface LiveEstimate extends Estimate {
  /** Seconds since the first sample. */
  time: number;
}

/** Hears a stream of sound and answers for its last seconds, again and again. */
export class Live {
  #by: Model | Estimator;
  #options: Required<LiveOptions>;
  #blocks: Float32Array[] = [];
  #held = 0;
  #heard = 0;
  #next: number;
  #busy = false;

  constructor(by: Model | Estimator, options: LiveOptions) {
    this.#by = by;
    this.#options = { window: 30, every: 3, tune: true, ...options };
    this.#next = this.#options.every;
  }

  /** Seconds heard so far. */
  get seconds(): number {
    return this.#heard / this.#options.sampleRate;
  }

  /**
   * Hear more of the stream, mono, full scale 1.
   *
   * @returns the answer where one is due; null where none is, or the last one is still being made.
   */
  async push(samples: Float32Array): Promise<LiveEstimate | null> {
    const { sampleRate, window, every, tune } = this.#options;
    this.#blocks.push(samples.slice());
    this.#held += samples.length;
    this.#heard += samples.length;
    while (this.#held - this.#blocks[0].length >= window * sampleRate) {
      this.#held -= this.#blocks.shift()!.length;
    }
    const time = this.seconds;
    if (time < this.#next || this.#busy) return null;
    while (this.#next <= time) this.#next += every;
    this.#busy = true;
    try {
      const last = this.#last(Math.round(window * sampleRate));
      const answer = await (this.#by instanceof Model
        ? estimate(this.#by, last, { sampleRate, tune })
        : this.#by.estimate({ channels: [last], sampleRate }, { tune }));
      return { ...answer, time };
    } finally {
      this.#busy = false;
    }
  }

  /** The last samples, at most so many. */
  #last(most: number): Float32Array {
    const all = new Float32Array(this.#held);
    let at = 0;
    for (const block of this.#blocks) {
      all.set(block, at);
      at += block.length;
    }
    return all.slice(-most);
  }
}
