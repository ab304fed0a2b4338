export * from "./decode.ts";
export * from "./errors.ts";
export * from "./estimate.ts";
export * from "./estimator.ts";
export * from "./harmony.ts";
export {
  fifths, fifthsDistance, format, NO_KEY, NOTATIONS, parse, signature, type Mode, type Notation,
  type Parsed,
} from "./keys.ts";
export * from "./live.ts";
export type { Result } from "./messages.ts";
export type { FrontEnd, ModelInfo } from "./metadata.ts";
export { loadModel, Model, type LoadOptions } from "./model.ts";
export { readPcm, type Sound } from "./pcm.ts";
export { resample, StreamResampler } from "./resample.ts";
export * from "./timeline.ts";
export { hearTuning, type Tuning } from "./tuning.ts";
