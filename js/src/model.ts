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
   * Where `ort-wasm-simd-threaded.wasm` is: a folder, ending in `/`, or its own address. Only for
   * `onnxruntime-web` in a browser; by default beside the program.
   */
  wasmPaths?: string | { wasm?: string };
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
    // With more, sums would come out otherwise in the last digits; several workers do as well.
    runtime.env.wasm.numThreads = 1;
    if (options.wasmPaths !== undefined) runtime.env.wasm.wasmPaths = options.wasmPaths;
  }
  const session = await runtime.InferenceSession.create(data, {
    logSeverityLevel: 3,
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  }).catch((error: unknown) => {
    throw new ModelError(`the model cannot be loaded: ${String(error)}`);
  });
  return new Model(info, session, runtime);
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
