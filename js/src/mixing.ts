/** Channels to mono: their mean, if it can be heard; what is no sound becomes 0. */
import { PhaseWatch } from "./phase.ts";

/** Floats beyond this are no sound. */
const LOUDEST = 1e30;
/** Samples of each channel for which one mix is chosen. */
const BLOCK = 32768;

// Spikes: times the level of the rest of the block; at most so many in a block and in a row; music
// that starts or stops at a block's end is never so many times louder than full scale.
const FACTOR = 1000;
const MOST_SPIKES = 64;
const LONGEST_SPIKE = 8;
const NEVER = 10;

/**
 * The mono mix of channels (equally long, full scale 1) at `rate` Hz, and what there is to say of
 * it. The channels may be mended in place.
 */
export function mixDown(
  channels: Float32Array[],
  rate: number,
): { samples: Float32Array; warnings: string[] } {
  const length = channels[0]?.length ?? 0;
  const samples = channels.length === 1 ? channels[0] : new Float32Array(length);
  const phases = new PhaseWatch();
  let replaced = 0;
  let spikes = 0;
  for (let start = 0; start < length; start += BLOCK) {
    const end = Math.min(start + BLOCK, length);
    const block = channels.map((channel) => channel.subarray(start, end));
    const mono = samples.subarray(start, end);
    let energy = meanInto(block, mono);
    if (!Number.isFinite(energy)) {
      replaced += silenceNoSound(block);
      energy = meanInto(block, mono);
    }
    const found = silenceSpikes(block, mono, energy);
    if (found) {
      spikes += found;
      energy = meanInto(block, mono);
    }
    if (block.length > 1) phases.mix(block, mono, energy, rate);
  }
  const warnings: string[] = [];
  if (phases.seconds) {
    warnings.push(
      `channels out of phase for ${phases.seconds.toFixed(1)} s: their mean cancels there, so ` +
        "what does not was heard instead",
    );
  }
  if (replaced) {
    warnings.push(`${replaced} samples were no sound (not finite, or too large) and were set to 0`);
  }
  if (spikes) {
    warnings.push(
      `${spikes} samples were ${FACTOR} times louder than all around them and were set to 0`,
    );
  }
  return { samples, warnings };
}

/** Write the mean of the channels; returns the sum of its squares. */
function meanInto(block: Float32Array[], mono: Float32Array): number {
  if (block.length === 2) {
    const [left, right] = block;
    for (let i = 0; i < mono.length; i++) mono[i] = 0.5 * left[i] + 0.5 * right[i];
  } else if (block.length > 2) {
    const weight = 1 / block.length;
    for (let i = 0; i < mono.length; i++) {
      let sum = 0;
      for (const channel of block) sum += channel[i];
      mono[i] = sum * weight;
    }
  }
  let energy = 0;
  for (let i = 0; i < mono.length; i++) energy += mono[i] * mono[i];
  return energy > 3.4e38 ? Infinity : energy;
}

function silenceNoSound(block: Float32Array[]): number {
  let count = 0;
  for (const channel of block) {
    for (let i = 0; i < channel.length; i++) {
      if (!(Math.abs(channel[i]) <= LOUDEST)) {
        channel[i] = 0;
        count++;
      }
    }
  }
  return count;
}

/** Set single samples far above all others to 0; returns how many. */
function silenceSpikes(block: Float32Array[], mono: Float32Array, energy: number): number {
  const size = mono.length;
  if (size < 2 || energy === 0) return 0;
  let peak = 0;
  for (let i = 0; i < size; i++) peak = Math.max(peak, Math.abs(mono[i]));
  // Cheap: with spikes, nearly all of the energy is theirs.
  if (2 * MOST_SPIKES * peak * peak < energy && energy < Infinity) return 0;
  const levels = new Float32Array(size);
  for (const channel of block) {
    for (let i = 0; i < size; i++) levels[i] = Math.max(levels[i], Math.abs(channel[i]));
  }
  const most = Math.min(MOST_SPIKES, size >> 3);
  const rest = levels.slice().sort().subarray(0, size - most);
  let sum = 0;
  for (const level of rest) sum += level * level;
  const limit = FACTOR * Math.sqrt(sum / rest.length);
  const high: number[] = [];
  for (let i = 0; i < size && high.length <= most; i++) if (levels[i] > limit) high.push(i);
  if (!limit || !high.length || high.length > most) return 0;
  let count = 0;
  for (let first = 0, last = 0; first < high.length; first = last + 1) {
    last = first;
    while (high[last + 1] === high[last] + 1) last++;
    const run = high.slice(first, last + 1);
    const inside = run[0] > 0 && run[run.length - 1] < size - 1;
    const loud = run.every((i) => levels[i] > NEVER);
    if (run.length > LONGEST_SPIKE || !(inside || loud)) continue;
    for (const channel of block) {
      for (const i of run) {
        if (Math.abs(channel[i]) > limit) {
          channel[i] = 0;
          count++;
        }
      }
    }
  }
  return count;
}
