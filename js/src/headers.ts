/** What kind of file it is and its sampling rate, from its first bytes. */

export interface Header {
  /** For people: `MP3`, `FLAC`; null for an unknown kind. */
  kind: string | null;
  /** In Hz; null where it is not told. */
  rate: number | null;
}

// Hz, by the bits of an MPEG frame's head; halved for MPEG-2, and again for 2.5.
const MPEG_RATES = [44100, 48000, 32000];
const ADTS_RATES = [
  96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
];
// Searched for the first frame, after a tag.
const SEARCHED = 65536;
const BOXES = ["moov", "trak", "mdia", "minf", "stbl"];
const UNREAD: [string, string][] = [
  ["MAC ", "Monkey's Audio"], ["wvpk", "WavPack"], ["TTA1", "TTA"], ["MPCK", "Musepack"],
  ["MP+", "Musepack"], ["caff", "CAF"], [".snd", "AU"], ["MThd", "MIDI"], ["riff", "Wave64"],
  ["\x30\x26\xb2\x75", "WMA"],
];

export function headerOf(data: Uint8Array): Header {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const starts = (text: string, at = 0): boolean =>
    [...text].every((letter, i) => data[at + i] === letter.charCodeAt(0));
  let at = 0;
  while (starts("ID3", at) && at + 10 < data.length) {
    const [a, b, c, d] = data.subarray(at + 6, at + 10);
    at += 10 + ((a & 127) << 21) + ((b & 127) << 14) + ((c & 127) << 7) + (d & 127);
  }
  if (starts("fLaC", at)) return { kind: "FLAC", rate: flacRate(data, at + 8) };
  if (starts("OggS", at)) return oggHeader(data, at);
  if (starts("RIFF") && starts("WAVE", 8)) {
    const place = find(data, "fmt ", 12, 4096);
    return { kind: "WAV", rate: place < 0 ? null : within(view, place + 12, 4)?.getUint32(0, true) ?? null };
  }
  if (starts("FORM")) return { kind: "AIFF", rate: null };
  if (starts("ftyp", 4)) return { kind: "MP4", rate: boxRate(view, 0, data.length) };
  if (starts("\x1a\x45\xdf\xa3")) return { kind: "WebM", rate: matroskaRate(view) };
  for (const [mark, kind] of UNREAD) if (starts(mark)) return { kind, rate: null };
  return mpegHeader(data, at);
}

function within(view: DataView, at: number, length: number): DataView | null {
  return at >= 0 && at + length <= view.byteLength
    ? new DataView(view.buffer, view.byteOffset + at, length)
    : null;
}

function find(data: Uint8Array, text: string, from: number, to: number): number {
  const end = Math.min(to, data.length) - text.length;
  for (let at = from; at <= end; at++) {
    let i = 0;
    while (i < text.length && data[at + i] === text.charCodeAt(i)) i++;
    if (i === text.length) return at;
  }
  return -1;
}

/** Of the STREAMINFO block that starts there. */
function flacRate(data: Uint8Array, at: number): number | null {
  const [a, b, c] = data.subarray(at + 10, at + 13);
  return ((a << 12) | (b << 4) | (c >> 4)) || null;
}

function oggHeader(data: Uint8Array, start: number): Header {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const end = start + 512;
  if (find(data, "OpusHead", start, end) >= 0) return { kind: "Opus", rate: 48000 };
  const vorbis = find(data, "\x01vorbis", start, end);
  if (vorbis >= 0) {
    return { kind: "Ogg Vorbis", rate: within(view, vorbis + 12, 4)?.getUint32(0, true) ?? null };
  }
  const flac = find(data, "fLaC", start, end);
  if (flac >= 0) return { kind: "FLAC", rate: flacRate(data, flac + 8) };
  return { kind: "Ogg", rate: null };
}

/** The rate that the first sound of an MP4 file names. */
function boxRate(view: DataView, start: number, end: number): number | null {
  for (let at = start; at + 8 <= end; ) {
    let size = view.getUint32(at);
    let head = 8;
    if (size === 1 && at + 16 <= end) {
      size = view.getUint32(at + 8) * 2 ** 32 + view.getUint32(at + 12);
      head = 16;
    }
    if (size === 0) size = end - at;
    if (size < head) return null;
    const name = String.fromCharCode(...[4, 5, 6, 7].map((i) => view.getUint8(at + i)));
    const inside = Math.min(at + size, end);
    if (BOXES.includes(name)) {
      const found = boxRate(view, at + head, inside);
      if (found) return found;
    } else if (name === "stsd") {
      // Version, count, then the first entry: its size and name, and 24 bytes on, the rate.
      const entry = at + head + 8;
      const kind = within(view, entry + 4, 4);
      const sound = kind && /mp4a|alac|Opus|fLaC|ac-3/.test(String.fromCharCode(
        ...[0, 1, 2, 3].map((i) => kind.getUint8(i)),
      ));
      const rate = sound ? within(view, entry + 32, 2)?.getUint16(0) : null;
      if (rate) return rate;
    }
    at += size;
  }
  return null;
}

function matroskaRate(view: DataView): number | null {
  const data = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  if (find(data, "A_OPUS", 0, SEARCHED) >= 0) return 48000;
  // The element SamplingFrequency, a float of 4 or 8 bytes.
  for (const [mark, size] of [["\xb5\x84", 4], ["\xb5\x88", 8]] as const) {
    const at = find(data, mark, 0, SEARCHED);
    const value = at < 0 ? null : within(view, at + 2, size);
    const rate = value && (size === 4 ? value.getFloat32(0) : value.getFloat64(0));
    if (rate && rate >= 8000 && rate <= 192000) return rate;
  }
  return null;
}

/** MP3 or AAC (ADTS), by two frames of one rate, one after the other. */
function mpegHeader(data: Uint8Array, start: number): Header {
  for (let at = start; at < Math.min(start + SEARCHED, data.length - 6); at++) {
    const first = frameAt(data, at);
    const second = first && frameAt(data, at + first.size);
    const alone = first && at + first.size + 4 > data.length;
    if (first && (alone || (second && second.rate === first.rate && second.kind === first.kind))) {
      return { kind: first.kind, rate: first.rate };
    }
  }
  return { kind: null, rate: null };
}

// kbit/s by version (1, or 2 and 2.5), layer and the frame's bits.
const BITRATES: Record<string, number[]> = {
  "1-1": [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  "1-2": [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  "1-3": [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  "2-1": [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  "2-2": [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
  "2-3": [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};

function frameAt(data: Uint8Array, at: number): { kind: string; rate: number; size: number } | null {
  if (data[at] !== 0xff || (data[at + 1] & 0xe0) !== 0xe0) return null;
  const [, b, c, d, e, f] = data.subarray(at, at + 6);
  if ((b & 0xf6) === 0xf0) {
    const rate = ADTS_RATES[(c >> 2) & 15];
    const size = ((d & 3) << 11) | (e << 3) | (f >> 5);
    return rate && size > 7 ? { kind: "AAC", rate, size } : null;
  }
  const version = (b >> 3) & 3; // 3 is MPEG-1, 2 MPEG-2, 0 MPEG-2.5
  const layer = 4 - ((b >> 1) & 3);
  const base = MPEG_RATES[(c >> 2) & 3];
  if (version === 1 || layer === 4 || !base) return null;
  const bitrate = BITRATES[`${version === 3 ? 1 : 2}-${layer}`][c >> 4];
  if (!bitrate) return null;
  const rate = base / (version === 3 ? 1 : version === 2 ? 2 : 4);
  const padding = (c >> 1) & 1;
  const samples = layer === 3 && version !== 3 ? 576 : 1152;
  const size =
    layer === 1
      ? 4 * (Math.floor((12000 * bitrate) / rate) + padding)
      : Math.floor((samples * 125 * bitrate) / rate) + padding;
  return { kind: layer === 3 ? "MP3" : "MPEG audio", rate, size };
}
