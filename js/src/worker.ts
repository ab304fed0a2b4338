/** The worker behind `createEstimator`: mixes, resamples and runs the model. */
import { toRecording, waveform } from "./decode.ts";
import { packError } from "./errors.ts";
import { estimate } from "./estimate.ts";
import { Live } from "./live.ts";
import { loadModel, type Model } from "./model.ts";
import type { Answer, Request, Result } from "./messages.ts";
import { timeline } from "./timeline.ts";

const post = (answer: Answer, transfer: Transferable[] = []) =>
  (self as unknown as Worker).postMessage(answer, transfer);

let loading: Promise<Model> | undefined;
const running = new Map<number, AbortController>();
const listeners = new Map<number, Live>();

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  if (data.kind === "cancel") {
    running.get(data.id)?.abort();
    return;
  }
  const { id } = data;
  try {
    if (data.kind === "load") {
      loading = loadModel(data.model, data.options);
      const model = await loading;
      post({ kind: "loaded", id, info: { ...model } });
      // The first run compiles: before there is a recording to wait for.
      await model.run(new Float32Array(model.shortestSamples));
    } else if (data.kind === "listen") {
      listeners.set(id, new Live(await loading!, data.options));
      post({ kind: "listening", id });
    } else if (data.kind === "push") {
      const found = await listeners.get(data.listener)!.push(data.samples);
      post({ kind: "heard", id, found });
    } else {
      await answer(data);
    }
  } catch (error) {
    post({ kind: "failed", id, error: packError(error) });
  } finally {
    running.delete(id);
  }
};

async function answer(request: Extract<Request, { kind: "estimate" }>): Promise<void> {
  const { id, sound, options } = request;
  const control = new AbortController();
  running.set(id, control);
  const model = await loading!;
  const recording = toRecording(sound);
  const found = await estimate(model, recording.samples, {
    sampleRate: recording.sampleRate,
    tune: options.tune,
    windows: options.timeline,
    signal: control.signal,
    onProgress: (share) => post({ kind: "progress", id, share }),
  });
  const result: Result = {
    ...found,
    warnings: [...recording.warnings, ...found.warnings],
    timeline: options.timeline ? timeline(model, found) : null,
    waveform: waveform(recording.samples, options.points),
    sourceRate: recording.sourceRate,
    channels: recording.channels,
  };
  post({ kind: "done", id, result }, [result.waveform.buffer as ArrayBuffer]);
}
