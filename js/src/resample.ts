/**
 * Change of sampling rate by windowed sincs, as clean as soxr's HQ: the passband ends at 0.913 of
 * the lower Nyquist frequency, what lies beyond that frequency is lowered by 126 dB, the phase is
 * linear and the delay none.
 */

const PASSBAND = 0.913; // of the lower Nyquist frequency
const ATTENUATION = 126; // dB
// Kaiser's formulas for that attenuation.
const BETA = 0.1102 * (ATTENUATION - 8.7);
const WIDTH = (ATTENUATION - 7.95) / 2.285; // taps times radians per sample of the transition
// Phases of the filter: each its own where the rates are such, else linear between so many.
const MOST_PHASES = 2048;
const PHASES = 1024;

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
  const length = Math.round((samples.length * toRate) / fromRate);
  let rate = fromRate;
  let input = samples;
  // Halving first is cheap: what aliases stays above the new Nyquist frequency.
  for (; rate >= 4 * toRate; rate /= 2) input = halve(input, toRate / rate);
  return convolve(input, rate, toRate, length);
}

/** Every other sample, after a filter that keeps frequencies up to `kept` / 2 of the rate clean. */
function halve(samples: Float32Array, kept: number): Float32Array {
  const half = Math.ceil(WIDTH / (2 * Math.PI * (0.5 - kept)) / 2) | 1;
  const padded = pad(samples, half, half + 1);
  // Of a half-band filter every other coefficient is 0, but for the middle one.
  const side = Float64Array.from(
    { length: (half + 1) / 2 },
    (_, i) => sinc((2 * i + 1) / 2) * kaiser((2 * i + 1) / (half + 1)),
  );
  const scale = 1 / (1 + 2 * side.reduce((a, b) => a + b));
  const out = new Float32Array(Math.ceil(samples.length / 2));
  for (let k = 0; k < out.length; k++) {
    const at = 2 * k + half;
    let sum = padded[at];
    for (let i = 0, j = 1; i < side.length; i++, j += 2) {
      sum += side[i] * (padded[at - j] + padded[at + j]);
    }
    out[k] = sum * scale;
  }
  return out;
}

function convolve(
  samples: Float32Array,
  fromRate: number,
  toRate: number,
  length: number,
): Float32Array {
  const exact = exactPhases(fromRate, toRate);
  const { taps, count, phases } = bankFor(fromRate, toRate, exact ?? PHASES);
  const half = count / 2;
  const step = fromRate / toRate;
  const last = Math.floor((length - 1) * step) + half;
  const padded = pad(samples, half, Math.max(0, last + 2 - samples.length));
  const out = new Float32Array(length);
  const exactStep = exact === null ? 0 : Math.round(exact * step);
  for (let k = 0; k < length; k++) {
    let place: number;
    let phase: number;
    let share = 0;
    if (exact !== null) {
      const at = k * exactStep;
      place = Math.floor(at / exact);
      phase = at - place * exact;
    } else {
      const at = k * step;
      place = Math.floor(at);
      const fine = (at - place) * phases;
      phase = Math.floor(fine);
      share = fine - phase;
    }
    // The coefficients start `half` - 1 samples before the place.
    const value = dot(taps, phase * count, padded, place + 1, count);
    out[k] = share
      ? (1 - share) * value + share * dot(taps, (phase + 1) * count, padded, place + 1, count)
      : value;
  }
  return out;
}

/** The sum of products of `count` values, a multiple of 4. */
function dot(a: Float64Array, i: number, b: Float64Array, j: number, count: number): number {
  let [p, q, r, s] = [0, 0, 0, 0];
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
  // Rates that were halved are whole again a few doublings up.
  let [a, b] = [fromRate * 64, toRate * 64];
  if (!Number.isInteger(a) || !Number.isInteger(b)) return null;
  while (b) [a, b] = [b, a % b];
  const phases = (toRate * 64) / a;
  return phases <= MOST_PHASES ? phases : null;
}

function bankFor(fromRate: number, toRate: number, phases: number): Bank {
  const key = `${fromRate} ${toRate}`;
  let bank = banks.get(key);
  if (!bank) {
    // In cycles per input sample.
    const nyquist = Math.min(0.5, toRate / fromRate / 2);
    const cutoff = ((1 + PASSBAND) / 2) * nyquist;
    const width = WIDTH / (2 * Math.PI * (1 - PASSBAND) * nyquist) / 2;
    const count = 4 * Math.ceil((2 * width) / 4) + 4;
    const taps = new Float64Array((phases + 1) * count);
    for (let phase = 0; phase <= phases; phase++) {
      const row = taps.subarray(phase * count, (phase + 1) * count);
      for (let i = 0; i < count; i++) {
        const t = i - (count / 2 - 1) - phase / phases;
        row[i] = sinc(2 * cutoff * t) * kaiser(t / width);
      }
      const sum = row.reduce((a, b) => a + b);
      for (let i = 0; i < count; i++) row[i] /= sum;
    }
    if (banks.size >= 8) banks.clear();
    banks.set(key, (bank = { taps, count, phases }));
  }
  return bank;
}

/** The samples between zeros, in the numbers that sums are made in. */
function pad(samples: Float32Array, before: number, after: number): Float64Array {
  const padded = new Float64Array(before + samples.length + after);
  padded.set(samples, before);
  return padded;
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
