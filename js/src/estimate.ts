/** From a recording to its key: what `stonekey FILE` does after decoding (docs/apps.md). */
import { noSignal, PAUSE, peakOf, swing } from "./activity.ts";
import { CancelledError, EmptyAudioError } from "./errors.ts";
import { signatureTonic } from "./keys.ts";
import type { Model } from "./model.ts";
import { argmax, roundEven } from "./numbers.ts";
import { resample } from "./resample.ts";
import { hearTuning, type Tuning } from "./tuning.ts";

/** What the network says of a stretch of a recording. */
export interface Segment {
  /** In seconds of the recording. */
  start: number;
  end: number;
  /** Of each label of the model. */
  probabilities: Float32Array;
  /** False for a pause, which the result ignores. */
  counted: boolean;
}

/** The key of a recording. */
export interface Estimate {
  /** The answer, one of the model's labels; null for "no key". */
  key: string | null;
  /** Probability of the answer, or of the likeliest label where there is none; 0 for silence. */
  confidence: number;
  /** Of each label of the model; zeros for silence. */
  probabilities: number[];
  /** How far the music lies above A = 440 Hz, in cents, -50 to 50; null without a steady tone. */
  tuning: number | null;
  /** How clearly there is a key at all, whichever it is: 1/12 to 1; 0 for silence. */
  clarity: number;
  segments: Segment[];
  /** Overlapping stretches, for `timeline`; empty unless they were asked for. */
  windows: Segment[];
  /** Length of the recording in seconds. */
  seconds: number;
  /** The model's labels, in the order of all probabilities. */
  labels: string[];
  /** Name of the model. */
  model: string;
  /** Anything a user should know, in words. */
  warnings: string[];
}

export interface EstimateOptions {
  /** Of the samples, in Hz; by default the model's. */
  sampleRate?: number;
  /** Correct music that is not tuned to A = 440 Hz. True by default. */
  tune?: boolean;
  /** Hear windows for `timeline` too, which takes three to four times as long. */
  windows?: boolean;
  /** Ends the work with a `CancelledError`. */
  signal?: AbortSignal;
  /** Called with the share that is done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/** Seconds from one window to the next, and of a window. */
export const WINDOW_HOP = 2;
export const WINDOW_SECONDS = 8;

const SMALLEST = 1e-12;
const UNCLEAR = "no clear key: noise, speech or drums?";

/**
 * Estimate the key of a recording.
 *
 * @param samples mono, as loud as in the file, full scale being 1.
 * @throws {EmptyAudioError} there are no samples.
 * @throws {CancelledError} through the signal.
 */
export async function estimate(
  model: Model,
  samples: Float32Array,
  options: EstimateOptions = {},
): Promise<Estimate> {
  const { sampleRate = model.sampleRate, tune = true, signal, onProgress } = options;
  if (!samples.length) throw new EmptyAudioError("the recording holds no sound");
  const tuning: Tuning = hearTuning(samples, sampleRate);
  if (!tune) tuning.correction = 0;
  // Samples for a second of the recording itself; played at the model's rate it is in tune.
  const rate = model.sampleRate * 2 ** (tuning.correction / 1200);
  const heard = resample(samples, sampleRate, rate);
  const silent = noSignal(heard, model.sampleRate);
  const level = silent ? heard : normalised(heard);

  const length = roundEven(model.segmentSeconds * model.sampleRate);
  const wide = roundEven(WINDOW_SECONDS * model.sampleRate);
  const hop = Math.max(1, roundEven(wide * (WINDOW_HOP / WINDOW_SECONDS)));
  const plans = [
    { starts: silent ? [] : segmentStarts(level.length, length, length), length },
    {
      starts: silent || !options.windows ? [] : segmentStarts(level.length, wide, hop),
      length: wide,
    },
  ];
  const total = plans[0].starts.length + plans[1].starts.length;
  let done = 0;
  const results: Segment[][] = [[], []];
  for (const [number, plan] of plans.entries()) {
    for (const start of plan.starts) {
      await breath();
      if (signal?.aborted) throw new CancelledError();
      const part = level.subarray(start, start + plan.length);
      results[number].push({
        start: start / rate,
        end: (start + part.length) / rate,
        probabilities: await hearSegment(model, part),
        counted: swing(part) > PAUSE,
      });
      onProgress?.(++done / total);
    }
  }
  if (signal?.aborted) throw new CancelledError();
  if (silent) onProgress?.(1);
  const [segments, windows] = results;
  const answer: Estimate = {
    ...answerOf(model, segments),
    tuning: silent ? null : tuning.cents,
    segments,
    windows,
    seconds: heard.length / rate,
    labels: model.labels,
    model: model.name,
  };
  if (silent) answer.warnings.push(silent);
  return answer;
}

/** Let messages in, such as the one that cancels. */
function breath(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** What the segments of a recording say together. */
export function answerOf(
  model: Model,
  segments: readonly Segment[],
): Pick<Estimate, "key" | "confidence" | "probabilities" | "clarity" | "warnings"> {
  const counted = segments.filter((segment) => segment.counted).map((s) => s.probabilities);
  if (!counted.length) {
    const probabilities = model.labels.map(() => 0);
    return { key: null, confidence: 0, probabilities, clarity: 0, warnings: [] };
  }
  const probabilities = pooled(model, counted);
  const clarity = clarityOf(model.labels, counted);
  const best = argmax(probabilities);
  const clear = clarity >= model.minClarity;
  return {
    key: clear ? model.labels[best] : null,
    confidence: probabilities[best],
    probabilities,
    clarity,
    warnings: clear ? [] : [UNCLEAR],
  };
}

/** The mean over segments, softened before, as sure as it is right. */
export function pooled(model: Model, outputs: readonly ArrayLike<number>[]): number[] {
  const mean = new Array<number>(model.labels.length).fill(0);
  for (const output of outputs) {
    tempered(output, model.segmentTemperature).forEach((p, i) => (mean[i] += p / outputs.length));
  }
  return tempered(mean, model.confidenceTemperature);
}

/** Probabilities as if their logits had been divided by the temperature. */
function tempered(probabilities: ArrayLike<number>, temperature: number): number[] {
  if (temperature === 1) return Array.from(probabilities);
  const logits = Array.from(probabilities, (p) => Math.log(Math.max(p, SMALLEST)) / temperature);
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** The mean over segments of the probability of each one's likeliest key signature. */
function clarityOf(labels: readonly string[], outputs: readonly ArrayLike<number>[]): number {
  const signatures = labels.map(signatureTonic);
  let sum = 0;
  for (const output of outputs) {
    const shares = new Array<number>(12).fill(0);
    signatures.forEach((tonic, i) => (shares[tonic] += output[i]));
    sum += Math.max(...shares);
  }
  return sum / outputs.length;
}

/** First sample of each segment; the last one ends with the recording. */
function segmentStarts(samples: number, length: number, hop: number): number[] {
  if (samples <= length) return [0];
  const starts: number[] = [];
  for (let start = 0; start + length <= samples; start += hop) starts.push(start);
  if (starts[starts.length - 1] + length < samples) starts.push(samples - length);
  return starts;
}

/** At a peak of 1. */
export function normalised(samples: Float32Array): Float32Array {
  const peak = peakOf(samples);
  return samples.map((x) => x / peak);
}

/** What the network says of a segment; of one too short for it, again and again. */
export function hearSegment(model: Model, samples: Float32Array): Promise<Float32Array> {
  const shortest = model.shortestSamples;
  if (samples.length >= shortest) return model.run(samples);
  const length = 2 * shortest;
  return model.run(Float32Array.from({ length }, (_, i) => samples[i % samples.length]));
}
