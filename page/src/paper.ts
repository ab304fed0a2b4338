/** A canvas as large as its place, drawn anew when its size or the colours change. */
import { h } from "./dom.ts";

export interface Ink {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
  /** The value of a custom property of `style.css`. */
  colour: (name: string) => string;
}

export class Paper {
  readonly canvas = h("canvas");
  #draw: (ink: Ink) => void;

  constructor(draw: (ink: Ink) => void) {
    this.#draw = draw;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  draw(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const context = this.canvas.getContext("2d");
    if (!width || !height || !context) return;
    const dense = window.devicePixelRatio || 1;
    const [w, t] = [Math.round(width * dense), Math.round(height * dense)];
    if (this.canvas.width !== w || this.canvas.height !== t) {
      this.canvas.width = w;
      this.canvas.height = t;
    }
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    this.#draw({ context, width, height, colour: (name) => style.getPropertyValue(name) });
  }
}
