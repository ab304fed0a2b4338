/** How much sound there is. */
import { roundEven } from "./numbers.ts";

/** Full scale is 1. Dither of 16-bit silence stays below this peak. */
export const SILENCE_PEAK = 1e-4;
/** A segment this far below the recording's peak is a pause, not music. */
export const PAUSE = 1e-3;
// Less sound than this in a whole recording says nothing about a key.
const MIN_SIGNAL_SECONDS = 0.5;
// Of the frames whose levels are compared.
const FRAME_SECONDS = 0.05;

/** Why there cannot be a key; null where there can. */
export function noSignal(samples: Float32Array, rate: number): string | null {
  const frame = Math.max(1, roundEven(rate * FRAME_SECONDS));
  const levels: number[] = [];
  for (let start = 0; start < samples.length; start += frame) {
    levels.push(swing(samples.subarray(start, start + frame)));
  }
  const loudest = levels.reduce((a, b) => Math.max(a, b), 0);
  if (loudest < SILENCE_PEAK) return "silence";
  let count = 0;
  levels.forEach((level, i) => {
    if (level > PAUSE * loudest) count += Math.min((i + 1) * frame, samples.length) - i * frame;
  });
  const seconds = count / rate;
  if (seconds >= MIN_SIGNAL_SECONDS) return null;
  return `only ${Number(seconds.toPrecision(2))} s of sound, too little for a key`;
}

/** Half the range: the peak, but 0 for a constant, which is no sound. */
export function swing(samples: Float32Array): number {
  let low = samples[0];
  let high = low;
  for (let i = 1; i < samples.length; i++) {
    if (samples[i] < low) low = samples[i];
    if (samples[i] > high) high = samples[i];
  }
  return high / 2 - low / 2;
}

export function peakOf(samples: Float32Array): number {
  let peak = 0;
  for (let i = 0; i < samples.length; i++) peak = Math.max(peak, Math.abs(samples[i]));
  return peak;
}
