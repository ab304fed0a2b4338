import { ModelError } from "./errors.ts";

/** The front end of a model: frequencies in Hz, `hop` in samples. */
export interface FrontEnd {
  sample_rate: number;
  hop: number;
  fmin: number;
  n_bins: number;
  bins_per_octave: number;
  crop_bins: number;
  segment_seconds: number;
  average?: number;
}

/** What a model's file says of it. */
export interface ModelInfo {
  name: string;
  licence: string;
  /** What each output stands for: 24 keys (`Eb major`) or 12 signatures (`Eb major / C minor`). */
  labels: string[];
  /** In Hz, of the samples that the model takes. */
  sampleRate: number;
  segmentSeconds: number;
  /** Samples that the network needs; a shorter clip is repeated. */
  shortestSamples: number;
  segmentTemperature: number;
  confidenceTemperature: number;
  minClarity: number;
  frontEnd: FrontEnd;
}

const FORMAT = "stonekey-1";
// Fields of the messages in onnx.proto.
const METADATA_PROPS = 14;
const KEY = 1;
const VALUE = 2;
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** The fields of a protobuf message that are bytes: number and content of each. */
function* byteFields(data: Uint8Array): Generator<[number, Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= data.length) throw new ModelError("not an ONNX file, or one cut short");
      const byte = data[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < data.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === VARINT) {
      varint();
    } else if (kind === BYTES) {
      const length = varint();
      if (at + length > data.length) throw new ModelError("not an ONNX file, or one cut short");
      yield [Math.floor(tag / 8), data.subarray(at, at + length)];
      at += length;
    } else if (kind === FIXED64 || kind === FIXED32) {
      at += kind === FIXED64 ? 8 : 4;
    } else {
      throw new ModelError("not an ONNX file");
    }
  }
}

/** The custom metadata of an ONNX file, which ONNX Runtime for JavaScript does not give. */
function onnxMetadata(data: Uint8Array): Map<string, string> {
  const found = new Map<string, string>();
  const decoder = new TextDecoder();
  for (const [field, content] of byteFields(data)) {
    if (field !== METADATA_PROPS) continue;
    let key = "";
    let value = "";
    for (const [part, bytes] of byteFields(content)) {
      if (part === KEY) key = decoder.decode(bytes);
      if (part === VALUE) value = decoder.decode(bytes);
    }
    found.set(key, value);
  }
  return found;
}

/** What an ONNX file of stonekey says of its model (docs/apps.md). */
export function modelInfo(data: Uint8Array): ModelInfo {
  const metadata = onnxMetadata(data);
  if (metadata.get("format") !== FORMAT) throw new ModelError("not a model of stonekey");
  if (metadata.get("graph") === "recording") {
    throw new ModelError("this graph answers whole recordings: use the one of a segment");
  }
  const json = (name: string, missing: string) => JSON.parse(metadata.get(name) ?? missing);
  const older = (name: string, old: string) => json(name, metadata.get(old) ?? "1");
  const labels: string[] | null = json("class_table", "null");
  if (!labels) throw new ModelError("the model's outputs have no names yet: see stonekey calibrate");
  const frontEnd: FrontEnd = json("front_end", "{}");
  const architecture: { channels: number[] } | null = json("architecture", "null");
  const frames = architecture ? 2 ** architecture.channels.length : 0;
  const rate = frontEnd.sample_rate;
  return {
    name: metadata.get("name") ?? "",
    licence: metadata.get("licence") ?? "",
    labels,
    sampleRate: rate,
    segmentSeconds: frontEnd.segment_seconds,
    shortestSamples: Math.max(rate, (frames * (frontEnd.average ?? 1) - 1) * frontEnd.hop),
    segmentTemperature: older("segment_temperature", "softness"),
    confidenceTemperature: older("confidence_temperature", "temperature"),
    minClarity: json("min_clarity", "0"),
    frontEnd,
  };
}
