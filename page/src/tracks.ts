/** The tracks on the page and the work on them. */
import { CancelledError, createEstimator, type Estimator, type Result } from "../../js/src/index.ts";

export type State = "waiting" | "decode" | "estimate" | "done" | "failed" | "stopped";

export interface Track {
  readonly id: number;
  /** Its name, with its folders where a folder was given. */
  readonly path: string;
  readonly file: File;
  state: State;
  /** Share of the analysis that is done. */
  share: number;
  result: Result | null;
  /** Why it could not be read. */
  error: string | null;
  /** Share of the keys over time that is done; null while nobody asks. */
  closer: number | null;
  /** Whether its keys over time were looked for, found or not. */
  looked: boolean;
}

export const place = {
  workerUrl: new URL("worker.js", import.meta.url),
  modelUrl: new URL("stone24.onnx", import.meta.url),
  wasmPaths: { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href },
};
// Decoding is the smaller part.
const DECODE_SHARE = 0.3;

/** All tracks, in the order in which they were added. */
export class Tracks {
  readonly all: Track[] = [];
  /** Called after any change: of one track, or with null of which tracks there are. */
  onChange: (track: Track | null) => void = () => {};
  /** When the work began, in ms, and how many tracks were done then. */
  begun: { at: number; done: number } | null = null;
  // Made at once: the model is loaded while people choose their files.
  #estimator = createEstimator(place);
  #closer: Estimator | null = null;
  #controls = new Map<Track, AbortController>();
  #closerControl: AbortController | null = null;
  #count = 0;

  /** Add files and begin to analyse them; those that are there already are passed over. */
  add(files: { path: string; file: File }[]): Track[] {
    const known = new Set(this.all.map(identity));
    const added = files
      .filter((entry) => !known.has(identity(entry)))
      .map((entry): Track => ({
        ...entry, id: ++this.#count, state: "waiting", share: 0, result: null, error: null,
        closer: null, looked: false,
      }));
    this.all.push(...added);
    this.#begin(added);
    return added;
  }

  get done(): number {
    return this.all.filter(({ state }) => state === "done" || state === "failed").length;
  }

  get busy(): boolean {
    return this.#controls.size > 0;
  }

  /** End the work; what was not done yet is `stopped`. */
  stop(): void {
    const tell = this.onChange;
    this.onChange = () => {}; // once, at the end
    for (const control of [...this.#controls.values()]) control.abort();
    this.onChange = tell;
    this.onChange(null);
  }

  /** Go on with what was stopped. */
  resume(): void {
    this.#begin(this.all.filter(({ state }) => state === "stopped"));
  }

  remove(tracks: readonly Track[]): void {
    for (const track of tracks) {
      this.#controls.get(track)?.abort();
      const at = this.all.indexOf(track);
      if (at >= 0) this.all.splice(at, 1);
    }
    this.onChange(null);
  }

  #begin(tracks: Track[]): void {
    if (!tracks.length) return;
    if (!this.busy) this.begun = { at: performance.now(), done: this.done };
    for (const track of tracks) {
      track.state = "waiting";
      this.#controls.set(track, new AbortController());
    }
    this.onChange(null);
    for (const track of tracks) void this.#analyse(track);
  }

  async #analyse(track: Track): Promise<void> {
    const control = this.#controls.get(track)!;
    const { signal } = control;
    // Stopping shows at once, though a step that has begun may need a moment to end.
    const stopped = () => this.#end(track, control, "stopped");
    signal.addEventListener("abort", stopped);
    try {
      const result = await this.#estimator.estimate(track.file, {
        signal,
        onProgress: (stage, share) => {
          if (signal.aborted) return;
          track.state = stage;
          track.share = stage === "decode" ? 0 : DECODE_SHARE + (1 - DECODE_SHARE) * share;
          this.onChange(track);
        },
      });
      if (signal.aborted) return;
      track.result = result;
      this.#end(track, control, "done");
    } catch (error) {
      if (signal.aborted) return;
      track.error = reason(error);
      this.#end(track, control, error instanceof CancelledError ? "stopped" : "failed");
    }
  }

  #end(track: Track, control: AbortController, state: State): void {
    if (this.#controls.get(track) !== control) return;
    this.#controls.delete(track);
    track.state = state;
    track.share = 0;
    this.onChange(track);
  }

  /** Find the keys over time of a track, in place of those of any other. */
  async lookCloser(track: Track | null): Promise<void> {
    this.#closerControl?.abort();
    if (!track?.result || track.looked) return;
    if (track.result.key === null) {
      track.looked = true;
      return;
    }
    const control = (this.#closerControl = new AbortController());
    this.#closer ??= createEstimator({ ...place, threads: 1 });
    track.closer = 0;
    try {
      const result = await this.#closer.estimate(track.file, {
        signal: control.signal,
        timeline: true,
        onProgress: (_, share) => {
          track.closer = share;
          this.onChange(track);
        },
      });
      track.result = { ...track.result, timeline: result.timeline };
      track.looked = true;
    } catch {
      // Cancelled, or the file has gone: the segments still show something.
      track.looked = !control.signal.aborted;
    }
    track.closer = null;
    if (!control.signal.aborted) this.onChange(track);
  }
}

function identity({ path, file }: { path: string; file: File }): string {
  return `${path}\n${file.size}\n${file.lastModified}`;
}

/** The message of an error, for people. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
