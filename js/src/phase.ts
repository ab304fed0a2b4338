/**
 * Channels out of phase: their mean cancels, and what does not is heard instead.
 *
 * What the mean of the channels leaves of a sound: 1 where the channels have nothing to do with
 * each other or only one of them sounds, their number where they are alike, 0 where they cancel.
 */
import { hann, spectrum } from "./fft.ts";
import { median, roundEven } from "./numbers.ts";

type Matrix = number[][];

// A mix that leaves less than this (11 dB below unrelated channels) is given up; the mean is taken
// again once it leaves more than that.
const LOST = 0.08;
const REGAINED = 0.3;
// Music can cancel under drums that do not, so its partials are looked at, too: this often, in
// frames of so many samples, between these Hz.
const EVERY_SECONDS = 10;
const FRAME = 8192;
const LOWEST = 100;
const HIGHEST = 2100;
const PROMINENCE = 16; // power over the median: noise has no such peaks
const FLOOR = 1e-4; // of the loudest partial's power
const FADE = 1024; // samples from one mix to the next

/** Watches the channels of one recording, block by block. */
export class PhaseWatch {
  /** Of sound that was not mixed by the mean of its channels, so far. */
  seconds = 0;
  #weights: number[] | null = null;
  #wait = 0;

  /** Replace the mean of a block, whose squares sum to `energy`, where it would lose the music. */
  mix(channels: Float32Array[], mono: Float32Array, energy: number, rate: number): void {
    let power = 0;
    for (const channel of channels) {
      for (let i = 0; i < channel.length; i++) power += channel[i] * channel[i];
    }
    if (!(power > 0 && power < Infinity)) return;
    this.#wait -= mono.length / rate;
    // Cheap, and true of what can't be heard, too: an offset, a rumble.
    const cancels = channels.length ** 2 * energy < LOST * power;
    if (!(cancels || this.#wait <= 0 || this.seconds)) return;
    const mean: number[] = channels.map(() => 1 / channels.length);
    const begun = this.#weights !== null;
    let old = this.#weights ?? mean;
    let next = old;
    let seen = heard(channels, 0, rate, cancels);
    this.#wait = seen.some((row) => row.some((x) => x !== 0)) ? EVERY_SECONDS : 0;
    if (left(next, seen) < LOST) {
      // Then so does the whole block.
      seen = seen.map((row) => row.map(() => 0));
      for (let start = 0; start < Math.max(1, mono.length - FRAME / 2); start += FRAME) {
        const more = heard(channels, start, rate, cancels);
        seen = seen.map((row, i) => row.map((x, j) => x + more[i][j]));
      }
    }
    this.#weights = next = chosen(seen, next);
    if (!begun) old = next;
    const isMean = (weights: number[]) => weights.every((weight, i) => weight === mean[i]);
    if (isMean(next) && isMean(old)) return;
    this.seconds += mono.length / rate;
    const fade = Math.min(FADE, mono.length);
    for (let i = 0; i < mono.length; i++) {
      let mixed = 0;
      let before = 0;
      for (let c = 0; c < channels.length; c++) {
        mixed += next[c] * channels[c][i];
        before += old[c] * channels[c][i];
      }
      const share = i >= fade ? 1 : fade > 1 ? i / (fade - 1) : 0;
      mono[i] = share * mixed + (1 - share) * before;
    }
  }
}

/** The weights for channels whose covariance is `seen`, after the weights `now`. */
function chosen(seen: Matrix, now: number[]): number[] {
  const mean = now.map(() => 1 / now.length);
  if (!trace(seen)) return now;
  if (left(mean, seen) > REGAINED) return mean;
  if (left(now, seen) >= LOST) return now;
  // The direction in which the channels move together, as loud as a mean.
  const strongest = strongestDirection(seen).map((x) => x / Math.sqrt(now.length));
  const along = strongest.reduce((sum, x, i) => sum + x * now[i], 0);
  return along < 0 ? strongest.map((x) => -x) : strongest;
}

const trace = (matrix: Matrix): number => matrix.reduce((sum, row, i) => sum + row[i], 0);

/** What a mix leaves of the sound whose channels have the covariance `seen`. */
function left(weights: number[], seen: Matrix): number {
  const power = trace(seen);
  if (!power) return 1;
  let sum = 0;
  seen.forEach((row, i) => row.forEach((x, j) => (sum += weights[i] * x * weights[j])));
  return (weights.length * sum) / power;
}

/** The eigenvector of the largest eigenvalue of a symmetric matrix, by Jacobi rotations. */
function strongestDirection(matrix: Matrix): number[] {
  const a = matrix.map((row) => [...row]);
  const size = a.length;
  const vectors: Matrix = a.map((_, i) => a.map((_, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 50; sweep++) {
    let off = 0;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        off += a[p][q] ** 2;
        if (a[p][q] === 0) continue;
        const angle = 0.5 * Math.atan2(2 * a[p][q], a[q][q] - a[p][p]);
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < size; k++) {
          [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
        }
        for (let k = 0; k < size; k++) {
          [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
          [vectors[k][p], vectors[k][q]] = [
            c * vectors[k][p] - s * vectors[k][q],
            s * vectors[k][p] + c * vectors[k][q],
          ];
        }
      }
    }
    if (off <= 1e-30 * trace(matrix) ** 2) break;
  }
  let best = 0;
  for (let i = 1; i < size; i++) if (a[i][i] > a[best][best]) best = i;
  return vectors.map((row) => row[best]);
}

/**
 * The channels' covariance in the steady partials of the frame at `start`, 0 without any. With
 * `noise`, that in everything between the limits where there is no partial.
 */
function heard(channels: Float32Array[], start: number, rate: number, noise: boolean): Matrix {
  const frames = channels.map((channel) => channel.subarray(start, start + FRAME));
  const size = frames[0].length;
  const low = roundEven((LOWEST * size) / rate);
  const high = roundEven((Math.min(HIGHEST, 0.45 * rate) * size) / rate);
  const none = channels.map(() => channels.map(() => 0));
  const count = high - low;
  if (count < 3) return none;
  const window = hann(size);
  const spectra = frames.map((frame) =>
    spectrum(Float64Array.from(frame, (x, i) => x * window[i]), low, high),
  );
  const power = new Float64Array(count);
  for (const { re, im } of spectra) {
    for (let k = 0; k < count; k++) power[k] += re[k] ** 2 + im[k] ** 2;
  }
  const least = Math.max(PROMINENCE * median(power), FLOOR * power.reduce((a, b) => Math.max(a, b)));
  const bins: number[] = [];
  for (let k = 1; k < count - 1; k++) {
    if (power[k] > power[k - 1] && power[k] >= power[k + 1] && power[k] > least) bins.push(k);
  }
  if (!bins.length && noise) for (let k = 1; k < count - 1; k++) bins.push(k);
  return none.map((row, i) =>
    row.map((_, j) =>
      bins.reduce(
        (sum, k) => sum + spectra[i].re[k] * spectra[j].re[k] + spectra[i].im[k] * spectra[j].im[k],
        0,
      ),
    ),
  );
}
