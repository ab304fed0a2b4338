import { ModelError } from "./errors.ts";
import { modelInfo, type ModelInfo } from "./metadata.ts";

/** As much of ONNX Runtime as is used here: `onnxruntime-web` and `onnxruntime-node` have it. */
export interface Runtime {
  InferenceSession: {
    create(model: Uint8Array, options?: Record<string, unknown>): Promise<Session>;
  };
  Tensor: new (type: "float32", data: Float32Array, dims: number[]) => unknown;
  env: { wasm?: { wasmPaths?: unknown; numThreads?: number; proxy?: boolean } };
}

interface Session {
  readonly outputNames: readonly string[];
  run(feeds: never): Promise<Record<string, { data: unknown }>>;
  release(): Promise<void>;
}

export interface LoadOptions {
  /**
   * Where `ort-wasm-simd-threaded.wasm` and `.mjs` are: a folder, ending in `/`, or the address of
   * each. Only for `onnxruntime-web` in a browser.
   */
  wasmPaths?: string | { wasm?: string; mjs?: string };
  /**
   * Threads for one segment, where the page is cross-origin isolated; else 1. The answer does not
   * depend on it.
   */
  threads?: number;
  /** The module of ONNX Runtime; by default `onnxruntime-web`, loaded when it is needed. */
  runtime?: unknown;
}

/** A loaded model. */
export class Model implements ModelInfo {
  readonly name!: string;
  readonly licence!: string;
  readonly labels!: string[];
  readonly sampleRate!: number;
  readonly segmentSeconds!: number;
  readonly shortestSamples!: number;
  readonly segmentTemperature!: number;
  readonly confidenceTemperature!: number;
  readonly minClarity!: number;
  readonly frontEnd!: ModelInfo["frontEnd"];
  #session: Session;
  #runtime: Runtime;

  constructor(info: ModelInfo, session: Session, runtime: Runtime) {
    Object.assign(this, info);
    this.#session = session;
    this.#runtime = runtime;
  }

  /** What the network says of one segment, mono at the model's rate: a probability per label. */
  async run(samples: Float32Array): Promise<Float32Array> {
    const waveform = new this.#runtime.Tensor("float32", samples, [1, samples.length]);
    const found = await this.#session.run({ waveform } as never);
    // A copy: the memory may be the runtime's own.
    const outputs = Float32Array.from(
      found[this.#session.outputNames[0]].data as Float32Array,
    );
    const sum = outputs.reduce((total, value) => total + value, 0);
    if (outputs.length !== this.labels.length || !(Math.abs(sum - 1) < 1e-3)) {
      throw new ModelError("the model's network does not give probabilities");
    }
    return outputs;
  }

  /** Free the memory. */
  async close(): Promise<void> {
    await this.#session.release();
  }
}

/**
 * Load a model that `stonekey export` wrote.
 *
 * @param source the file's content, or its address.
 * @throws {ModelError} it cannot be fetched or read, or is not a model of stonekey.
 */
export async function loadModel(
  source: ArrayBuffer | Uint8Array | string | URL,
  options: LoadOptions = {},
): Promise<Model> {
  const data = await contentOf(source);
  const info = modelInfo(data);
  const runtime = (options.runtime ?? (await import("onnxruntime-web/wasm"))) as Runtime;
  if (runtime.env.wasm) {
    runtime.env.wasm.numThreads = threadsFor(options.threads);
    if (options.wasmPaths !== undefined) runtime.env.wasm.wasmPaths = options.wasmPaths;
  }
  const alone = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  const session = await runtime.InferenceSession.create(data, {
    logSeverityLevel: 3,
    ...(runtime.env.wasm && !isNode ? {} : alone),
  }).catch((error: unknown) => {
    throw new ModelError(`the model cannot be loaded: ${String(error)}`);
  });
  return new Model(info, session, runtime);
}

const isNode = typeof process !== "undefined" && !!process.versions?.node;

/** Threads that this place allows, of those wished for. */
export function threadsFor(wished?: number): number {
  if (!(globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated) return 1;
  return Math.max(1, Math.min(wished ?? 4, navigator.hardwareConcurrency || 1));
}

async function contentOf(source: ArrayBuffer | Uint8Array | string | URL): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  let response: Response;
  try {
    response = await fetch(source);
  } catch {
    throw new ModelError(`the model cannot be fetched from ${source}`);
  }
  if (!response.ok) {
    throw new ModelError(`the model cannot be fetched from ${source}: ${response.status}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

declare const process: { versions?: { node?: string } } | undefined;
