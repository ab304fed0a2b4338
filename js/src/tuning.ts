/**
 * How far a recording's pitch lies from A = 440 Hz, in cents, hundredths of a semitone: -50 to 50,
 * positive where the music sounds higher than written.
 */
import { hann, spectrum } from "./fft.ts";
import { argmax, median, roundEven } from "./numbers.ts";

const LOOK_SECONDS = 60;
// With so much of the first minute in one piece that is no music, the rest is heard too, in parts.
const PAUSE_SECONDS = 12;
const PART_SECONDS = 0.52;
const PARTS_EVERY = 2;
const MOST_PARTS = 48;
const LONG_PARTS_EVERY = 10;
const MOST_LONG_PARTS = 256;
const ENOUGH_FRAMES = 12;
const GOLDEN = (Math.sqrt(5) - 1) / 2;
/** Deviations up to this are left as they are: no answer changes over them. */
const DEAD_BAND = 8;
// Length of the mean of unit vectors, one for each peak, below which it says nothing, or too
// little without hearing more.
const MIN_AGREEMENT = 0.05;
const DOUBTFUL = 0.15;

const FRAMES = 48;
const FRAME_SECONDS = 0.37;
const LOWEST = 130; // Hz; below, a bin is as wide as a semitone
const HIGHEST = 2100;
const PEAK_FLOOR = 10 ** (-40 / 20); // of the frame's loudest
const ROUNDING = 1e-5; // of the frame's peak
// What a steady partial is: far above what is around it, and as narrow as the window.
const BANDS = 12;
const PROMINENCE = Math.log(4);
const NARROW = -1.2;
const FEWEST_PARTIALS = 3;
const FEWEST_FRAMES = 3;
// Of mains hum, all partials are multiples of about one of these Hz.
const MAINS = [50, 60];
const MAINS_DRIFT = 0.01;
const MAINS_ERROR = 1.5;

/** A spectral peak of a frame. */
interface Peak {
  hz: number;
  magnitude: number;
  steady: boolean;
}

interface Frame {
  peaks: Peak[];
  isMusic: boolean;
  /** Hz whose multiples nearly all steady partials are, where these are the mains'; else 0. */
  hum: number;
}

/** What is heard of a recording's tuning, in cents. */
export interface Tuning {
  /** Deviation heard; null where there is no steady tone. */
  cents: number | null;
  /** By how much the pitch is to be lowered. */
  correction: number;
}

/** Hear the tuning of a recording, mono at `rate` Hz. */
export function hearTuning(samples: Float32Array, rate: number): Tuning {
  const { frames, every } = hear(samples.subarray(0, roundEven(LOOK_SECONDS * rate)), rate);
  let [cents, agreement] = direction(frames);
  if (agreement < DOUBTFUL || longestPause(frames) * every >= PAUSE_SECONDS) {
    const all = [...frames];
    let music = 0;
    for (const start of partStarts(samples.length / rate)) {
      const first = roundEven(start * rate);
      const part = samples.subarray(first, first + roundEven(PART_SECONDS * rate));
      const later = hear(part, rate).frames;
      all.push(...later);
      music += later.filter((frame) => frame.isMusic).length;
      if (music >= ENOUGH_FRAMES) break;
    }
    [cents, agreement] = direction(ofMusic(all));
  }
  const heard = agreement >= MIN_AGREEMENT;
  const correction = heard && Math.abs(cents) > DEAD_BAND ? cents : 0;
  return { cents: heard ? cents : null, correction };
}

/** Where the parts of a recording that follow its first minute start, spread in any number. */
function partStarts(total: number): number[] {
  const rest = total - LOOK_SECONDS;
  const count = Math.trunc(
    Math.min(rest / PARTS_EVERY, Math.max(MOST_PARTS, rest / LONG_PARTS_EVERY), MOST_LONG_PARTS),
  );
  const share = rest / Math.max(1, count);
  const starts = Array.from(
    { length: Math.max(0, count) },
    (_, i) => LOOK_SECONDS + (i + 0.5) * share - PART_SECONDS / 2,
  );
  const place = (start: number) => ((start / share) * GOLDEN) % 1;
  return starts.sort((a, b) => place(a) - place(b));
}

/** Up to 48 frames spread over samples, and the seconds from one to the next. */
function hear(samples: Float32Array, rate: number): { frames: Frame[]; every: number } {
  const size = 2 ** roundEven(Math.log2(FRAME_SECONDS * rate));
  if (samples.length < size) {
    const padded = new Float32Array(size);
    padded.set(samples);
    samples = padded;
  }
  const room = samples.length - size;
  const count = Math.min(FRAMES, 1 + Math.floor(room / (size / 2)));
  const window = hann(size);
  const low = Math.trunc((LOWEST * size) / rate) - 1;
  const high = Math.ceil((Math.min(HIGHEST, 0.45 * rate) * size) / rate) + 1;
  const frames: Frame[] = [];
  for (let number = 0; number < count; number++) {
    const start = number && number === count - 1 ? room : Math.trunc(number * (room / (count - 1 || 1)));
    const frame = samples.subarray(start, start + size);
    let sum = 0;
    let loudest = 0;
    for (let i = 0; i < size; i++) {
      sum += frame[i];
      loudest = Math.max(loudest, Math.abs(frame[i]));
    }
    // The mean would leak into the peaks, and rounding must not be taken for them.
    const mean = sum / size;
    const signal = Float64Array.from(frame, (x, i) => (x - mean) * window[i]);
    const { re, im } = spectrum(signal, low, high);
    const magnitudes = re.map((x, i) => Math.hypot(x, im[i]));
    frames.push(frameOf(peaksOf(magnitudes, ROUNDING * size * loudest, low, rate / size)));
  }
  return { frames, every: room / Math.max(1, count - 1) / rate };
}

/** The local maxima of a spectrum whose first bin is `low`, placed by a parabola through the dB. */
function peaksOf(spectrum: Float64Array, least: number, low: number, binHz: number): Peak[] {
  const width = Math.max(1, Math.floor(spectrum.length / BANDS));
  const bands = Math.floor(spectrum.length / width);
  const medians = Array.from({ length: bands }, (_, i) =>
    median(spectrum.subarray(i * width, (i + 1) * width)),
  );
  const floor = Math.max(PEAK_FLOOR * spectrum.reduce((a, b) => Math.max(a, b), 0), least);
  const log = (x: number) => Math.log(x + 1e-30);
  const peaks: Peak[] = [];
  for (let i = 1; i < spectrum.length - 1; i++) {
    const here = spectrum[i];
    if (!(here > spectrum[i - 1] && here >= spectrum[i + 1] && here > floor)) continue;
    const [left, middle, right] = [log(spectrum[i - 1]), log(here), log(spectrum[i + 1])];
    const bend = left - 2 * middle + right;
    const around = log(medians[Math.min(Math.floor(i / width), bands - 1)]);
    peaks.push({
      hz: (i + (0.5 * (left - right)) / bend + low) * binHz,
      magnitude: Math.exp(middle),
      steady: middle - around > PROMINENCE && bend < NARROW,
    });
  }
  return peaks;
}

function frameOf(peaks: Peak[]): Frame {
  const steady = peaks.filter((peak) => peak.steady);
  const hum = humOf(steady);
  return { peaks, hum, isMusic: steady.length >= FEWEST_PARTIALS && !hum };
}

function humOf(steady: Peak[]): number {
  if (steady.length < FEWEST_PARTIALS) return 0;
  const loudest = steady[argmax(steady.map((peak) => peak.magnitude))].hz;
  for (const mains of MAINS) {
    const step = loudest / roundEven(loudest / mains);
    const share = steady.filter((peak) => isMultiple(peak.hz, step)).length / steady.length;
    if (Math.abs(step / mains - 1) < MAINS_DRIFT && share > 0.75) return step;
  }
  return 0;
}

function isMultiple(hz: number, step: number): boolean {
  return Math.abs(hz - step * roundEven(hz / step)) < MAINS_ERROR;
}

/** How many frames in a row are no music, at most. */
function longestPause(frames: Frame[]): number {
  let [longest, now] = [0, 0];
  for (const frame of frames) {
    now = frame.isMusic ? 0 : now + 1;
    longest = Math.max(longest, now);
  }
  return longest;
}

/** The frames that are music, without the mains; where there are too few, all but hum. */
function ofMusic(frames: Frame[]): Frame[] {
  const found = frames.filter((frame) => frame.isMusic);
  if (found.length < FEWEST_FRAMES) return frames.filter((frame) => !frame.hum);
  const hums = frames.map((frame) => frame.hum).filter((hum) => hum);
  if (hums.length < FEWEST_FRAMES) return found;
  const step = median(hums);
  return found.map((frame) => ({
    ...frame,
    peaks: frame.peaks.filter((peak) => !isMultiple(peak.hz, step)),
  }));
}

/** Direction of the peaks' mean on the circle of 100 cents, and how far they agree on it. */
function direction(frames: Frame[]): [cents: number, agreement: number] {
  let [x, y, weights] = [0, 0, 0];
  for (const { peaks } of frames) {
    for (const { hz, magnitude } of peaks) {
      const angle = 2 * Math.PI * 12 * Math.log2(hz / 440);
      x += magnitude * Math.cos(angle);
      y += magnitude * Math.sin(angle);
      weights += magnitude;
    }
  }
  if (weights <= 0) return [0, 0];
  return [(100 * Math.atan2(y, x)) / (2 * Math.PI), Math.hypot(x, y) / weights];
}
