/** How keys, times and numbers are shown; the colours of keys, the same everywhere. */
import { fifths, format, parse, type Notation } from "../../js/src/index.ts";
import { settings } from "./settings.ts";
import { fill, strings } from "./strings.ts";

/** A key in the notation chosen, with typographic sharps and flats. */
export function keyText(label: string | null, notation: Notation = settings.notation): string {
  if (label === null) return strings.noKey;
  const text = format(label, notation);
  if (notation === "camelot" || notation === "openkey") return text;
  return text.replace(/([A-G])#/g, "$1♯").replace(/([A-G])b/g, "$1♭");
}

/** The shortest name in the notation chosen: `E♭m`, `D♯m`, `2A`. */
export function shortText(label: string): string {
  const text = keyText(label);
  return text.replace(/ major/g, "").replace(/ minor/g, "m");
}

/** Hue of a key in degrees: neighbours on the circle of fifths are neighbours in colour. */
export function hue(label: string): number {
  return (fifths(label) * 30 + 385) % 360;
}

export function isMinor(label: string): boolean {
  return parse(label).mode === "minor";
}

/** The colour of a key for canvases; `style.css` has the same for elements. */
export function keyColour(label: string | null, alpha = 1): string {
  if (label === null) return `oklch(0.65 0 0 / ${alpha})`;
  const [lightness, chroma] = isMinor(label) ? [0.66, 0.15] : [0.8, 0.125];
  return `oklch(${lightness} ${chroma} ${hue(label)} / ${alpha})`;
}

/** Let an element, and what is in it, have the colour of a key. */
export function paint(element: HTMLElement | SVGElement, label: string | null): void {
  element.classList.toggle("keyed", label !== null);
  element.classList.toggle("minor", label !== null && isMinor(label));
  if (label !== null) element.style.setProperty("--hue", String(hue(label)));
}

/** `3:07`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.floor(seconds + 0.5);
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours
    ? `${hours}:${two(minutes)}:${two(whole % 60)}`
    : `${minutes}:${two(whole % 60)}`;
}

/** A share as a whole percentage; 100 only for what is nearly sure. */
export function percent(share: number): number {
  return share > 0.995 ? 100 : Math.min(99, Math.round(100 * share));
}

/** A tuning in cents with its sign: `+4 ct`. */
export function centsText(cents: number | null): string {
  if (cents === null) return "";
  const whole = Math.round(cents) || 0;
  const sign = whole > 0 ? "+" : whole < 0 ? "−" : "";
  return fill(strings.cents, { cents: sign + Math.abs(whole) });
}

/** A tuning in words. */
export function tuningText(cents: number | null): string {
  if (cents === null) return strings.noTone;
  const whole = Math.round(cents);
  if (!whole) return strings.inTune;
  const { one, many } = whole > 0 ? strings.above : strings.below;
  return fill(Math.abs(whole) === 1 ? one : many, { cents: Math.abs(whole) });
}

/** A message with a capital, to stand alone. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `1 track`, `2 tracks`. */
export function tracksText(count: number): string {
  return fill(count === 1 ? strings.track.one : strings.track.many, { count });
}
