/** What the page and its worker tell each other. */
import type { Estimate } from "./estimate.ts";
import type { LiveEstimate, LiveOptions } from "./live.ts";
import type { ModelInfo } from "./metadata.ts";
import type { LoadOptions } from "./model.ts";
import type { Sound } from "./pcm.ts";
import type { Timeline } from "./timeline.ts";

/** All that is found out about a recording. */
export interface Result extends Estimate {
  /** Null unless it was asked for. */
  timeline: Timeline | null;
  /** Lowest and highest sample of equal parts (`waveform`). */
  waveform: Float32Array;
  /** Of the file, in Hz. */
  sourceRate: number;
  /** Number of channels of the file. */
  channels: number;
}

export type Request =
  | {
      kind: "load";
      id: number;
      model: string | ArrayBuffer;
      options: Omit<LoadOptions, "runtime">;
    }
  | {
      kind: "estimate";
      id: number;
      sound: Sound;
      options: { tune: boolean; timeline: boolean; points: number };
    }
  | { kind: "listen"; id: number; options: LiveOptions }
  /** `listener` is the id of the request to listen. */
  | { kind: "push"; id: number; listener: number; samples: Float32Array }
  | { kind: "cancel"; id: number };

export type Answer =
  | { kind: "loaded"; id: number; info: ModelInfo }
  | { kind: "progress"; id: number; share: number }
  | { kind: "done"; id: number; result: Result }
  | { kind: "listening"; id: number }
  | { kind: "heard"; id: number; found: LiveEstimate | null }
  | { kind: "failed"; id: number; error: { name: string; message: string } };
