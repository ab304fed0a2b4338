/** Spectra of real signals of any length. */

interface Plan {
  reversed: Uint32Array;
  cos: Float64Array;
  sin: Float64Array;
}

const plans = new Map<number, Plan>();

function planFor(size: number): Plan {
  let plan = plans.get(size);
  if (!plan) {
    const bits = Math.log2(size);
    const reversed = new Uint32Array(size);
    for (let i = 0; i < size; i++) {
      reversed[i] = (reversed[i >> 1] >> 1) | ((i & 1) << (bits - 1));
    }
    const cos = new Float64Array(size / 2);
    const sin = new Float64Array(size / 2);
    for (let i = 0; i < size / 2; i++) {
      cos[i] = Math.cos((2 * Math.PI * i) / size);
      sin[i] = Math.sin((2 * Math.PI * i) / size);
    }
    plans.set(size, (plan = { reversed, cos, sin }));
  }
  return plan;
}

/** In place, of a power of two: re + i im becomes its discrete Fourier transform. */
export function transform(re: Float64Array, im: Float64Array): void {
  const size = re.length;
  const { reversed, cos, sin } = planFor(size);
  for (let i = 0; i < size; i++) {
    const j = reversed[i];
    if (j > i) {
      const [x, y] = [re[i], im[i]];
      re[i] = re[j];
      im[i] = im[j];
      re[j] = x;
      im[j] = y;
    }
  }
  for (let half = 1; half < size; half *= 2) {
    const step = size / (2 * half);
    for (let start = 0; start < size; start += 2 * half) {
      for (let i = start, turn = 0; i < start + half; i++, turn += step) {
        const j = i + half;
        const c = cos[turn];
        const s = sin[turn];
        const x = re[j] * c + im[j] * s;
        const y = im[j] * c - re[j] * s;
        re[j] = re[i] - x;
        im[j] = im[i] - y;
        re[i] += x;
        im[i] += y;
      }
    }
  }
}

/** Bins `low` to before `high` of the spectrum of a real signal, real and imaginary parts. */
export function spectrum(
  signal: Float64Array,
  low: number,
  high: number,
): { re: Float64Array; im: Float64Array } {
  const size = signal.length;
  if (size > 1 && (size & (size - 1)) === 0) {
    const re = signal.slice();
    const im = new Float64Array(size);
    transform(re, im);
    return { re: re.subarray(low, high), im: im.subarray(low, high) };
  }
  // Only the end of a recording has another length: short, and few bins are asked for.
  const count = Math.max(0, high - low);
  const [re, im] = [new Float64Array(count), new Float64Array(count)];
  for (let k = 0; k < count; k++) {
    const angle = (-2 * Math.PI * (low + k)) / size;
    const [stepRe, stepIm] = [Math.cos(angle), Math.sin(angle)];
    let x = 1;
    let y = 0;
    for (let i = 0; i < size; i++) {
      re[k] += signal[i] * x;
      im[k] += signal[i] * y;
      const turned = x * stepRe - y * stepIm;
      y = x * stepIm + y * stepRe;
      x = turned;
    }
  }
  return { re, im };
}

const windows = new Map<number, Float64Array>();

/** A Hann window that is 0 at both ends, as numpy's. */
export function hann(size: number): Float64Array {
  let window = windows.get(size);
  if (!window) {
    window = Float64Array.from({ length: size }, (_, i) =>
      Math.fround(size > 1 ? 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (size - 1)) : 1),
    );
    if (windows.size > 16) windows.clear();
    windows.set(size, window);
  }
  return window;
}
