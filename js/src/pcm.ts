/** Uncompressed sound: WAV, RF64, AIFF and AIFF-C, of all depths, which browsers read in part. */
import { DamagedAudioError, UnsupportedFormatError } from "./errors.ts";

/** Decoded sound, full scale 1. */
export interface Sound {
  /** Equally long. */
  channels: Float32Array[];
  /** In Hz. */
  sampleRate: number;
}

interface Layout {
  kind: "integer" | "unsigned" | "float";
  bytes: number;
  little: boolean;
  channels: number;
  sampleRate: number;
}

interface Chunk {
  name: string;
  start: number;
  length: number;
}

// Of the format chunk of WAV.
const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
// How AIFF-C names what is in it: bytes of a sample are known from their number of bits but here.
const AIFC: Record<string, Partial<Layout>> = {
  NONE: {},
  twos: {},
  sowt: { little: true },
  "raw ": { kind: "unsigned" },
  in24: { bytes: 3 },
  in32: { bytes: 4 },
  fl32: { kind: "float", bytes: 4 },
  FL32: { kind: "float", bytes: 4 },
  fl64: { kind: "float", bytes: 8 },
  FL64: { kind: "float", bytes: 8 },
};

const text = (view: DataView, at: number): string =>
  at + 4 > view.byteLength
    ? ""
    : String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));

/**
 * Read uncompressed sound.
 *
 * @returns null for what is no such file, or holds sound of another kind.
 * @throws {DamagedAudioError} it says nothing about its sound.
 */
export function readPcm(data: Uint8Array): Sound | null {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [family, kind] = [text(view, 0), text(view, 8)];
  const little = ["RIFF", "RF64", "BW64"].includes(family) && kind === "WAVE";
  if (!little && !(family === "FORM" && (kind === "AIFF" || kind === "AIFC"))) return null;
  const chunks = chunksOf(view, little);
  const about = chunks.get(little ? "fmt " : "COMM");
  const sound = chunks.get(little ? "data" : "SSND");
  if (!about || !sound || about.start + (little ? 16 : 18) > view.byteLength) {
    throw new DamagedAudioError(`the ${little ? "WAV" : "AIFF"} file has no sound in it`);
  }
  const layout = little ? wavLayout(view, about) : aiffLayout(view, about, kind === "AIFC");
  if (!layout) return null;
  if (!layout.channels || !layout.sampleRate || !layout.bytes) {
    throw new DamagedAudioError("the file's header makes no sense");
  }
  const skip = little || sound.length < 8 ? 0 : 8 + view.getUint32(sound.start);
  return samplesOf(view, sound.start + skip, sound.length - skip, layout);
}

function chunksOf(view: DataView, little: boolean): Map<string, Chunk> {
  const found = new Map<string, Chunk>();
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const name = text(view, at);
    let length = view.getUint32(at + 4, little);
    const there = view.byteLength - at - 8;
    // A recorder that was cut off leaves 0 or the largest number: the sound goes to the end.
    const open = name === "data" && (length === 0 || length === 0xffffffff);
    if (open || length > there) length = there;
    if (!found.has(name)) found.set(name, { name, start: at + 8, length });
    at += 8 + length + (length % 2);
  }
  return found;
}

function wavLayout(view: DataView, { start, length }: Chunk): Layout | null {
  let format = view.getUint16(start, true);
  const bits = view.getUint16(start + 14, true);
  if (format === EXTENSIBLE && length >= 26) format = view.getUint16(start + 24, true);
  if (format !== PCM && format !== FLOAT) return null;
  const bytes = Math.ceil(bits / 8);
  if (format === FLOAT ? bytes !== 4 && bytes !== 8 : bytes > 4) return null;
  return {
    kind: format === FLOAT ? "float" : bytes === 1 ? "unsigned" : "integer",
    bytes,
    little: true,
    channels: view.getUint16(start + 2, true),
    sampleRate: view.getUint32(start + 4, true),
  };
}

function aiffLayout(view: DataView, { start, length }: Chunk, packed: boolean): Layout | null {
  const plain: Layout = {
    kind: "integer",
    bytes: Math.ceil(view.getUint16(start + 6) / 8),
    little: false,
    channels: view.getUint16(start),
    sampleRate: extended(view, start + 8),
  };
  if (!packed || length < 22) return plain.bytes <= 4 ? plain : null;
  const name = text(view, start + 18);
  if (!(name in AIFC)) throw new UnsupportedFormatError(`an AIFF file packed as "${name}"`);
  return { ...plain, ...AIFC[name] };
}

/** An 80-bit float of IEEE 754. */
function extended(view: DataView, at: number): number {
  const exponent = (view.getUint16(at) & 0x7fff) - 16383;
  return view.getUint32(at + 2) * 2 ** (exponent - 31) + view.getUint32(at + 6) * 2 ** (exponent - 63);
}

function samplesOf(view: DataView, start: number, length: number, layout: Layout): Sound {
  const { kind, bytes, little, channels, sampleRate } = layout;
  const frame = bytes * channels;
  const count = Math.max(0, Math.floor(length / frame));
  const read = reader(view, kind, bytes, little);
  const found = Array.from({ length: channels }, () => new Float32Array(count));
  found.forEach((samples, channel) => {
    for (let i = 0, at = start + channel * bytes; i < count; i++, at += frame) samples[i] = read(at);
  });
  return { channels: found, sampleRate };
}

function reader(
  view: DataView,
  kind: Layout["kind"],
  bytes: number,
  little: boolean,
): (at: number) => number {
  if (kind === "float") {
    return bytes === 4 ? (at) => view.getFloat32(at, little) : (at) => view.getFloat64(at, little);
  }
  if (kind === "unsigned") return (at) => (view.getUint8(at) - 128) / 128;
  switch (bytes) {
    case 1:
      return (at) => view.getInt8(at) / 128;
    case 2:
      return (at) => view.getInt16(at, little) / 2 ** 15;
    case 3: {
      const high = little ? 2 : 0;
      const low = little ? 0 : 2;
      return (at) =>
        (view.getInt8(at + high) * 65536 + view.getUint8(at + 1) * 256 + view.getUint8(at + low)) /
        2 ** 23;
    }
    default:
      return (at) => view.getInt32(at, little) / 2 ** 31;
  }
}
