/** Estimates in workers, so that the page stays alive. */
import { decodeChannels, type DecodeOptions, type Recording } from "./decode.ts";
import { CancelledError, ModelError, unpackError } from "./errors.ts";
import type { Listener, LiveOptions } from "./live.ts";
import type { Answer, Request, Result } from "./messages.ts";
import type { ModelInfo } from "./metadata.ts";
import type { Sound } from "./pcm.ts";

export interface EstimatorOptions {
  /** Where the built `worker.js` is. */
  workerUrl: string | URL;
  /** Where the model is. */
  modelUrl: string | URL;
  /** Where `ort-wasm-simd-threaded.wasm` is, as for `loadModel`; by default beside the worker. */
  wasmPaths?: string | { wasm?: string };
  /** Recordings that are heard at once, each by a worker; by default one for a core, at most 4. */
  threads?: number;
}

export interface ResultOptions extends DecodeOptions {
  /** Correct music that is not tuned to A = 440 Hz. True by default. */
  tune?: boolean;
  /** Find the keys over time too, which takes three to four times as long. */
  timeline?: boolean;
  /** Parts of the waveform. */
  points?: number;
  /** Ends the work with a `CancelledError`. */
  signal?: AbortSignal;
  /** Called with what is being done and the share of it that is done, 0 to 1. */
  onProgress?: (stage: "decode" | "estimate", share: number) => void;
}

/** What an estimator hears: a file, or samples. */
export type Input = Blob | ArrayBuffer | Recording | Sound;

export interface Estimator {
  /** Settled once the model is loaded: what its file says of it. */
  ready: Promise<ModelInfo>;
  /** All about a recording. Recordings are begun in the order of the calls. */
  estimate(input: Input, options?: ResultOptions): Promise<Result>;
  /** Hear a stream in a worker; `Live` is what to call. */
  listen(options: LiveOptions): Listener;
  /** End the workers; what they were doing ends with a `CancelledError`. */
  close(): void;
}

/** Load a model into workers that estimate keys. */
export function createEstimator(options: EstimatorOptions): Estimator {
  const most = options.threads ?? Math.min(4, navigator.hardwareConcurrency || 1);
  const workers = [new ModelWorker(options)];
  const free = [...workers];
  const waiting: ((worker: ModelWorker) => void)[] = [];
  // One more is decoded while the others are heard.
  const decoding = new Gate(most + 1);
  let closed = false;

  const take = (): Promise<ModelWorker> | ModelWorker => {
    const idle = free.pop();
    if (idle) return idle;
    if (workers.length < most) {
      const more = new ModelWorker(options);
      workers.push(more);
      return more;
    }
    return new Promise((resolve) => waiting.push(resolve));
  };
  const giveBack = (worker: ModelWorker) => {
    const next = waiting.shift();
    if (next) next(worker);
    else free.push(worker);
  };

  return {
    ready: workers[0].ready,
    async estimate(input, settings = {}) {
      const { signal, onProgress } = settings;
      const check = () => {
        if (closed || signal?.aborted) throw new CancelledError();
      };
      await decoding.enter();
      try {
        check();
        onProgress?.("decode", 0);
        const sound = await soundOf(input, settings);
        check();
        onProgress?.("decode", 1);
        const worker = await take();
        try {
          check();
          return await worker.estimate(sound, settings);
        } finally {
          giveBack(worker);
        }
      } finally {
        decoding.leave();
      }
    },
    listen: (settings) => workers[0].listen(settings),
    close() {
      closed = true;
      for (const worker of workers) worker.close();
    },
  };
}

async function soundOf(input: Input, options: DecodeOptions): Promise<Sound> {
  if (input instanceof Blob || input instanceof ArrayBuffer) return decodeChannels(input, options);
  // Copies, as they go to the worker for good.
  if ("samples" in input) {
    return { channels: [input.samples.slice()], sampleRate: input.sampleRate };
  }
  return { channels: input.channels.map((c) => c.slice()), sampleRate: input.sampleRate };
}

/** Lets so many in at a time, in their order. */
class Gate {
  #room: number;
  #waiting: (() => void)[] = [];

  constructor(room: number) {
    this.#room = room;
  }

  enter(): Promise<void> {
    if (this.#room > 0) {
      this.#room--;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#room++;
  }
}

interface Task {
  resolve: (answer: never) => void;
  reject: (error: Error) => void;
  onProgress?: (share: number) => void;
}

/** A worker with the model. */
class ModelWorker {
  readonly ready: Promise<ModelInfo>;
  #worker: Worker;
  #tasks = new Map<number, Task>();
  #count = 0;
  #ended: Error | null = null;

  constructor({ workerUrl, modelUrl, wasmPaths }: EstimatorOptions) {
    this.#worker = new Worker(workerUrl, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new ModelError(`the worker cannot run: ${event.message || workerUrl}`));
    };
    const model = new URL(modelUrl, location.href).href;
    const loading = { model, options: { wasmPaths: absolute(wasmPaths) } };
    this.ready = this.#ask((id) => ({ kind: "load", id, ...loading }));
    this.ready.catch(() => {}); // it is told to those who wait for it
  }

  async estimate(sound: Sound, options: ResultOptions): Promise<Result> {
    await this.ready;
    const { tune = true, timeline = false, points = 1000, signal, onProgress } = options;
    const number = this.#count + 1;
    const cancel = () => this.#post({ kind: "cancel", id: number });
    if (signal?.aborted) throw new CancelledError();
    signal?.addEventListener("abort", cancel);
    try {
      return await this.#ask<Result>(
        (id) => ({ kind: "estimate", id, sound, options: { tune, timeline, points } }),
        sound.channels.map((channel) => channel.buffer as ArrayBuffer),
        (share) => onProgress?.("estimate", share),
      );
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  listen(options: LiveOptions): Listener {
    const started = this.ready.then(() => {
      const listener = this.#count + 1;
      return this.#ask<void>((id) => ({ kind: "listen", id, options })).then(() => listener);
    });
    started.catch(() => {}); // it is told to those who push
    return {
      push: async (samples) => {
        const copy = samples.slice();
        const listener = await started;
        return this.#ask((id) => ({ kind: "push", id, listener, samples: copy }), [copy.buffer]);
      },
    };
  }

  close(): void {
    this.#worker.terminate();
    this.#fail(new CancelledError());
  }

  #ask<T>(
    request: (id: number) => Request,
    transfer: Transferable[] = [],
    onProgress?: (share: number) => void,
  ): Promise<T> {
    const id = ++this.#count;
    return new Promise<T>((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      this.#tasks.set(id, { resolve, reject, onProgress });
      this.#post(request(id), transfer);
    });
  }

  #post(request: Request, transfer: Transferable[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #take(answer: Answer): void {
    const task = this.#tasks.get(answer.id);
    if (!task) return;
    if (answer.kind === "progress") {
      task.onProgress?.(answer.share);
      return;
    }
    this.#tasks.delete(answer.id);
    if (answer.kind === "failed") task.reject(unpackError(answer.error));
    else task.resolve(contentOf(answer) as never);
  }

  #fail(error: Error): void {
    this.#ended = error;
    for (const task of this.#tasks.values()) task.reject(error);
    this.#tasks.clear();
  }
}

function contentOf(answer: Answer): unknown {
  if (answer.kind === "loaded") return answer.info;
  if (answer.kind === "done") return answer.result;
  return answer.kind === "heard" ? answer.found : undefined;
}

function absolute(paths: EstimatorOptions["wasmPaths"]): EstimatorOptions["wasmPaths"] {
  const whole = (path: string) => new URL(path, location.href).href;
  if (paths === undefined || typeof paths === "string") return paths && whole(paths);
  return { wasm: paths.wasm && whole(paths.wasm) };
}
