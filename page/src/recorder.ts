/** Runs where the sound is: sends what the microphone hears, mixed to mono, block by block. */
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, kind: typeof AudioWorkletProcessor): void;

const BLOCK = 4096;

registerProcessor(
  "recorder",
  class extends AudioWorkletProcessor {
    #block = new Float32Array(BLOCK);
    #filled = 0;

    process([channels]: Float32Array[][]): boolean {
      const length = channels[0]?.length ?? 0;
      for (let i = 0; i < length; i++) {
        let sum = 0;
        for (const channel of channels) sum += channel[i];
        this.#block[this.#filled++] = sum / channels.length;
        if (this.#filled === BLOCK) {
          this.port.postMessage(this.#block, [this.#block.buffer]);
          this.#block = new Float32Array(BLOCK);
          this.#filled = 0;
        }
      }
      return true;
    }
  },
);
