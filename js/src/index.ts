export {
  decode, decodeChannels, type DecodeOptions, type Recording, toRecording, waveform,
} from "./decode.ts";
export {
  CancelledError, DamagedAudioError, EmptyAudioError, ModelError, StonekeyError, TooLongError,
  UnsupportedFormatError,
} from "./errors.ts";
export {
  estimate, type Estimate, type EstimateOptions, type Segment, WINDOW_HOP, WINDOW_SECONDS,
} from "./estimate.ts";
export {
  createEstimator, type Estimator, type EstimatorOptions, type Input, type ResultOptions,
} from "./estimator.ts";
export * from "./harmony.ts";
export {
  fifths, fifthsDistance, format, NO_KEY, NOTATIONS, parse, signature, type Mode, type Notation,
  type Parsed,
} from "./keys.ts";
export { Live, type Listener, type LiveEstimate, type LiveOptions } from "./live.ts";
export type { Result } from "./messages.ts";
export type { FrontEnd, ModelInfo } from "./metadata.ts";
export { loadModel, Model, type LoadOptions } from "./model.ts";
export { readPcm, type Sound } from "./pcm.ts";
export { resample } from "./resample.ts";
export { timeline, type Modulation, type Span, type Timeline } from "./timeline.ts";
export { hearTuning, type Tuning } from "./tuning.ts";
