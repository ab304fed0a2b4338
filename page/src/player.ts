/** The sound of the selected track: one player for all. */

/** Plays a file; tells of every change. */
export class Player {
  onChange: () => void = () => {};
  failed = false;
  #audio = new Audio();
  #address: string | null = null;
  #seconds = 0;
  #frame = 0;

  constructor() {
    const tell = () => this.onChange();
    for (const event of ["pause", "ended", "seeked", "timeupdate"]) {
      this.#audio.addEventListener(event, tell);
    }
    this.#audio.addEventListener("playing", () => this.#follow());
    this.#audio.addEventListener("error", () => {
      if (this.#address === null) return;
      this.failed = true;
      tell();
    });
  }

  /** Take another file, or none, and stop the one before. */
  open(file: File | null, seconds: number): void {
    this.#audio.pause();
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = null;
    this.#audio.removeAttribute("src");
    this.failed = false;
    this.#seconds = seconds;
    if (!file) return;
    this.#address = URL.createObjectURL(file);
    this.#audio.preload = "metadata";
    this.#audio.src = this.#address;
  }

  get playing(): boolean {
    return !this.#audio.paused;
  }

  get time(): number {
    return Math.min(this.#audio.currentTime, this.#seconds);
  }

  set time(seconds: number) {
    this.#audio.currentTime = Math.max(0, Math.min(seconds, this.#seconds));
    this.onChange();
  }

  toggle(): void {
    if (this.playing) this.#audio.pause();
    else {
      this.#audio.play().catch(() => {
        this.failed = true;
        this.onChange();
      });
    }
  }

  /** Tell of the position with every picture that is drawn. */
  #follow(): void {
    cancelAnimationFrame(this.#frame);
    const step = () => {
      this.onChange();
      if (this.playing) this.#frame = requestAnimationFrame(step);
    };
    step();
  }
}
