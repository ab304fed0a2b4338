/**
 * Change of sampling rate by windowed sincs, as clean as soxr's HQ: the passband ends at 0.913 of
 * the lower Nyquist frequency, what lies beyond that frequency is lowered by 130 dB, the phase is
 * linear and the delay none.
 */
import { transform } from "./fft.ts";

const PASSBAND = 0.913; // of the lower Nyquist frequency
const ATTENUATION = 130; // dB
// Kaiser's formulas for that attenuation.
const BETA = 0.1102 * (ATTENUATION - 8.7);
const WIDTH = (ATTENUATION - 7.95) / 2.285; // taps times radians per sample of the transition
// Phases of the interpolation: each its own where the rates are such, else linear between so many.
const MOST_PHASES = 2048;
const PHASES = 1024;

/** Windowed sincs, at places between samples; frequencies are in cycles per sample. */
interface Bank {
  /** Coefficients of each phase, one after another; the last is the first, a sample later. */
  taps: Float64Array;
  count: number;
  phases: number;
}

const banks = new Map<string, Bank>();

/**
 * Samples (mono) at another rate.
 *
 * @param fromRate of the samples, in Hz.
 * @param toRate in Hz; it need not be whole.
 * @returns as many as nearest to `samples.length * toRate / fromRate`.
 */
export function resample(samples: Float32Array, fromRate: number, toRate: number): Float32Array {
  if (fromRate === toRate || !samples.length) return samples;
  const out = new Float32Array(Math.round((samples.length * toRate) / fromRate));
  const phases = exactPhases(fromRate, toRate);
  const band = Math.min(0.5, toRate / fromRate / 2);
  const edge = ((1 + PASSBAND) / 2) * band;
  const steep = (1 - PASSBAND) * band;
  if (band > 0.375) {
    interpolate(out, samples, bankFor(edge, steep, phases ?? PHASES), fromRate / toRate);
    return out;
  }
  // With what is too high gone, few samples tell what lies between them.
  const low = lowPassed(samples, edge, steep);
  if (phases === 1) {
    const step = fromRate / toRate;
    for (let k = 0; k < out.length; k++) out[k] = low[k * step];
  } else {
    interpolate(out, low, bankFor(0.5, 1 - 2 * band, phases ?? PHASES), fromRate / toRate);
  }
  return out;
}

/** Samples without the frequencies above `edge`, filtered as spectra, block by block. */
function lowPassed(samples: Float32Array, edge: number, transition: number): Float32Array {
  const { taps, count } = bankFor(edge, transition, 1);
  // The place of the sinc's middle, before which a block's results are wrong.
  const middle = count / 2 - 1;
  const size = 2 ** Math.ceil(Math.log2(8 * count));
  const step = size - count;
  const filter = { re: new Float64Array(size), im: new Float64Array(size) };
  filter.re.set(taps.subarray(0, count));
  transform(filter.re, filter.im);
  const out = new Float32Array(samples.length);
  const [re, im] = [new Float64Array(size), new Float64Array(size)];
  for (let start = 0; start < samples.length; start += 2 * step) {
    // Two blocks at once: the real and the imaginary part do not mix.
    load(re, samples, start + middle - count);
    load(im, samples, start + step + middle - count);
    transform(re, im);
    for (let i = 0; i < size; i++) {
      const x = (re[i] * filter.re[i] - im[i] * filter.im[i]) / size;
      im[i] = (re[i] * filter.im[i] + im[i] * filter.re[i]) / size;
      re[i] = x;
    }
    transform(im, re); // parts exchanged: backwards
    out.set(re.subarray(count, count + Math.min(step, out.length - start)), start);
    const rest = out.length - start - step;
    if (rest > 0) out.set(im.subarray(count, count + Math.min(step, rest)), start + step);
  }
  return out;
}

/** Fill a block with samples from a place on, zeros where there are none. */
function load(block: Float64Array, samples: Float32Array, from: number): void {
  block.fill(0);
  const first = Math.max(0, from);
  block.set(samples.subarray(first, Math.max(first, from + block.length)), first - from);
}

/** Fill `out` with the values of samples every `step` of them. */
function interpolate(out: Float32Array, samples: Float32Array, bank: Bank, step: number): void {
  const { taps, count, phases } = bank;
  const before = count / 2;
  const padded = new Float64Array(before + samples.length + count);
  padded.set(samples, before);
  const ticks = step * phases;
  const whole = Math.round(ticks);
  const exact = Math.abs(ticks - whole) < 1e-9 * ticks;
  for (let k = 0; k < out.length; k++) {
    const at = exact ? k * whole : k * ticks;
    const place = Math.floor(at / phases);
    const fine = at - place * phases;
    const phase = Math.floor(fine);
    const share = fine - phase;
    // The coefficients start `count / 2 - 1` samples before the place.
    const value = dot(taps, phase * count, padded, place + 1, count);
    out[k] = share
      ? (1 - share) * value + share * dot(taps, (phase + 1) * count, padded, place + 1, count)
      : value;
  }
}

/** The sum of products of `count` values, a multiple of 4. */
function dot(a: Float64Array, i: number, b: Float64Array, j: number, count: number): number {
  let p = 0;
  let q = 0;
  let r = 0;
  let s = 0;
  for (const end = i + count; i < end; i += 4, j += 4) {
    p += a[i] * b[j];
    q += a[i + 1] * b[j + 1];
    r += a[i + 2] * b[j + 2];
    s += a[i + 3] * b[j + 3];
  }
  return p + q + (r + s);
}

/** Phases that the outputs take between two inputs, null for too many. */
function exactPhases(fromRate: number, toRate: number): number | null {
  let [a, b] = [fromRate, toRate];
  if (!Number.isInteger(a) || !Number.isInteger(b)) return null;
  while (b) [a, b] = [b, a % b];
  return toRate / a <= MOST_PHASES ? toRate / a : null;
}

/** Sincs that keep what is below `edge`, half lost there, within a `transition`. */
function bankFor(edge: number, transition: number, phases: number): Bank {
  const key = `${edge} ${transition} ${phases}`;
  let bank = banks.get(key);
  if (!bank) {
    const width = WIDTH / (2 * Math.PI * transition) / 2;
    const count = 4 * Math.ceil((2 * width) / 4) + 4;
    const taps = new Float64Array((phases + 1) * count);
    for (let phase = 0; phase <= phases; phase++) {
      const row = taps.subarray(phase * count, (phase + 1) * count);
      for (let i = 0; i < count; i++) {
        const t = i - (count / 2 - 1) - phase / phases;
        row[i] = sinc(2 * edge * t) * kaiser(t / width);
      }
      const sum = row.reduce((a, b) => a + b);
      for (let i = 0; i < count; i++) row[i] /= sum;
    }
    if (banks.size >= 8) banks.clear();
    banks.set(key, (bank = { taps, count, phases }));
  }
  return bank;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Kaiser's window from -1 to 1, 0 outside. */
function kaiser(x: number): number {
  return x * x >= 1 ? 0 : bessel(BETA * Math.sqrt(1 - x * x)) / bessel(BETA);
}

/** The modified Bessel function of the first kind and order 0. */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
