/** A file to samples: the browser's decoder, and our own mix and resampling. */
import {
  DamagedAudioError,
  EmptyAudioError,
  TooLongError,
  UnsupportedFormatError,
} from "./errors.ts";
import { headerOf } from "./headers.ts";
import { mixDown } from "./mixing.ts";
import { readPcm, type Sound } from "./pcm.ts";
import { resample } from "./resample.ts";

/** A mono recording, full scale 1. */
export interface Recording {
  samples: Float32Array;
  /** Of the samples, in Hz. */
  sampleRate: number;
  seconds: number;
  /** Of the file, in Hz. */
  sourceRate: number;
  /** Number of channels of the file. */
  channels: number;
  /** What there is to say of the mix, in words. */
  warnings: string[];
}

export interface DecodeOptions {
  /** A longer recording is refused: all of it has to be in memory. An hour by default. */
  maxSeconds?: number;
}

const MAX_SECONDS = 3600;
/** Where the file does not tell its rate. */
const USUAL_RATE = 44100;
// What the contexts of all browsers take, in Hz.
const LOWEST_RATE = 8000;
const HIGHEST_RATE = 192000;
/** Files from this many bytes are asked for their length before they are decoded. */
const LARGE = 16_000_000;

/**
 * Decode a file, mix it to mono and change its rate.
 *
 * In a browser from the main thread, as workers have no decoder. In Node only WAV and AIFF.
 *
 * @param sampleRate wanted, in Hz; by default the file's own.
 * @throws {UnsupportedFormatError} nothing here can decode this kind of file.
 * @throws {EmptyAudioError} it holds no sound.
 * @throws {DamagedAudioError} it is of a known kind, but cannot be decoded.
 * @throws {TooLongError} it is longer than `maxSeconds`.
 */
export async function decode(
  input: Blob | ArrayBuffer | Uint8Array,
  sampleRate?: number,
  options: DecodeOptions = {},
): Promise<Recording> {
  return toRecording(await decodeChannels(input, options), sampleRate);
}

/** Decode a file, all channels at its own rate; otherwise as `decode`. */
export async function decodeChannels(
  input: Blob | ArrayBuffer | Uint8Array,
  { maxSeconds = MAX_SECONDS }: DecodeOptions = {},
): Promise<Sound> {
  const size = input instanceof Blob ? input.size : input.byteLength;
  if (!size) throw new EmptyAudioError("the file is empty");
  if (input instanceof Blob && size >= LARGE) checkLength(await promisedSeconds(input), maxSeconds);
  // A copy, as the browser's decoder uses it up.
  const content =
    input instanceof Blob ? new Uint8Array(await input.arrayBuffer()) : new Uint8Array(input).slice();
  const sound = readPcm(content) ?? (await decodeInBrowser(content));
  const length = sound.channels[0]?.length ?? 0;
  if (!length) throw new EmptyAudioError("the file holds no sound");
  checkLength(length / sound.sampleRate, maxSeconds);
  return sound;
}

/** The mono mix of a sound at a rate, by default its own; the channels may be used up. */
export function toRecording(sound: Sound, sampleRate = sound.sampleRate): Recording {
  const { samples, warnings } = mixDown(sound.channels, sound.sampleRate);
  return {
    samples: resample(samples, sound.sampleRate, sampleRate),
    sampleRate,
    seconds: samples.length / sound.sampleRate,
    sourceRate: sound.sampleRate,
    channels: sound.channels.length,
    warnings,
  };
}

/** The lowest and highest sample of each of `points` equal parts, one after the other. */
export function waveform(samples: Float32Array, points: number): Float32Array {
  const found = new Float32Array(2 * points);
  for (let point = 0; point < points; point++) {
    const from = Math.floor((point * samples.length) / points);
    const to = Math.max(from + 1, Math.floor(((point + 1) * samples.length) / points));
    let low = 0;
    let high = 0;
    for (let i = from; i < Math.min(to, samples.length); i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    found[2 * point] = low;
    found[2 * point + 1] = high;
  }
  return found;
}

async function decodeInBrowser(content: Uint8Array): Promise<Sound> {
  const { kind, rate } = headerOf(content);
  const named = kind ?? "this kind of file";
  if (typeof OfflineAudioContext === "undefined") {
    throw new UnsupportedFormatError(`cannot decode ${named} here, only WAV and AIFF`);
  }
  const usable = rate !== null && rate >= LOWEST_RATE && rate <= HIGHEST_RATE;
  // At the file's own rate the context does not resample.
  const context = new OfflineAudioContext(1, 1, usable ? rate : USUAL_RATE);
  let decoded: AudioBuffer;
  try {
    decoded = await context.decodeAudioData(content.buffer as ArrayBuffer);
  } catch {
    if (kind === null || !canPlay(kind)) {
      throw new UnsupportedFormatError(`this browser cannot decode ${named}`);
    }
    throw new DamagedAudioError(`damaged, or no ${kind} that this browser can decode`);
  }
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, i) =>
    decoded.getChannelData(i),
  );
  return { channels, sampleRate: decoded.sampleRate };
}

const TYPES: Record<string, string> = {
  MP3: "audio/mpeg",
  "MPEG audio": "audio/mpeg",
  AAC: "audio/aac",
  FLAC: "audio/flac",
  Opus: 'audio/ogg; codecs="opus"',
  "Ogg Vorbis": 'audio/ogg; codecs="vorbis"',
  Ogg: "audio/ogg",
  MP4: "audio/mp4",
  WebM: "audio/webm",
  WAV: "audio/wav",
};

function canPlay(kind: string): boolean {
  if (!(kind in TYPES)) return false;
  return typeof Audio === "undefined" || new Audio().canPlayType(TYPES[kind]) !== "";
}

/** The length that a file promises, NaN for none. */
async function promisedSeconds(file: Blob): Promise<number> {
  if (typeof Audio === "undefined") return NaN;
  const address = URL.createObjectURL(file);
  const player = new Audio();
  try {
    return await new Promise((resolve) => {
      player.onloadedmetadata = () => resolve(player.duration);
      player.onerror = () => resolve(NaN);
      player.preload = "metadata";
      player.src = address;
    });
  } finally {
    player.removeAttribute("src");
    URL.revokeObjectURL(address);
  }
}

function checkLength(seconds: number, most: number): void {
  if (!(seconds > most) || seconds === Infinity) return;
  const minutes = (value: number) => Math.round(value / 60);
  throw new TooLongError(
    `too long: ${minutes(seconds)} minutes, and the limit is ${minutes(most)}`,
  );
}
