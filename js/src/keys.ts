/**
 * Keys and key signatures, as labels in the musical notation: `Eb minor`, `Eb major / C minor`.
 * Pitch classes count semitones up from C = 0.
 */

import { modulo } from "./numbers.ts";

export type Mode = "major" | "minor";
export type Notation = "musical" | "sharps" | "flats" | "short" | "camelot" | "openkey";
export const NOTATIONS: readonly Notation[] = [
  "musical", "sharps", "flats", "short", "camelot", "openkey",
];
/** Written in place of a key where there is none. */
export const NO_KEY = "no key";

/** A key, or with `mode` null a key signature by the tonic of its major key. */
export interface Parsed {
  tonic: number;
  mode: Mode | null;
}

const SHARPS = "C C# D D# E F F# G G# A A# B".split(" ");
const FLATS = "C Db D Eb E F Gb G Ab A Bb B".split(" ");
// The spelling with fewer accidentals in its signature; with six of either, the commoner one.
const CONVENTIONAL = {
  major: "C Db D Eb E F F# G Ab A Bb B".split(" "),
  minor: "C C# D Eb E F F# G G# A Bb B".split(" "),
};
const NATURALS: Record<string, number> = { C: 0, D: 2, E: 4, F: 5, G: 7, A: 9, B: 11 };

/** Read a label of a class table; an error for anything else. */
export function parse(label: string): Parsed {
  const found = label
    .split(" / ")
    .map((name) => /^([A-G])(#*|b*) (major|minor)$/.exec(name))
    .map((match) => {
      if (!match) throw new Error(`not a key: ${JSON.stringify(label)}`);
      const [, letter, accidentals, mode] = match;
      const step = accidentals[0] === "b" ? -accidentals.length : accidentals.length;
      return { tonic: modulo(NATURALS[letter] + step, 12), mode: mode as Mode };
    });
  if (found.length === 1) return found[0];
  return { tonic: majorTonic(found[0]), mode: null };
}

function majorTonic({ tonic, mode }: Parsed): number {
  return mode === "minor" ? (tonic + 3) % 12 : tonic;
}

/** The signature of a key, by the tonic of its major key, 0 to 11. */
export function signatureTonic(label: string): number {
  return majorTonic(parse(label));
}

/** A distance in semitones as steps on the circle of fifths, -5 to 6. */
function around(semitones: number): number {
  return modulo(7 * semitones + 5, 12) - 5;
}

/** Sharps (positive) or flats (negative) of a label's signature, -5 to 6. */
export function fifths(label: string): number {
  return around(signatureTonic(label));
}

/** Steps between the signatures of two labels on the circle of fifths, 0 to 6. */
export function fifthsDistance(one: string, other: string): number {
  return Math.abs(around(signatureTonic(one) - signatureTonic(other)));
}

/** The key signature of a key: `Eb major / C minor`; of a signature itself. */
export function signature(label: string): string {
  return write({ tonic: signatureTonic(label), mode: null }, "musical");
}

/** The label of a key with this tonic, of any size, and mode. */
export function keyLabel(tonic: number, mode: Mode): string {
  return `${CONVENTIONAL[mode][modulo(tonic, 12)]} ${mode}`;
}

/** A label in a notation: `Eb minor`, `D# minor`, `Ebm`, `2A` or `7m`; `no key` for null. */
export function format(label: string | null, notation: Notation = "musical"): string {
  if (!NOTATIONS.includes(notation)) throw new Error(`unknown notation: ${notation}`);
  return label === null ? NO_KEY : write(parse(label), notation);
}

function write(parsed: Parsed, notation: Notation): string {
  const { tonic, mode } = parsed;
  if (mode === null) {
    const major = write({ tonic, mode: "major" }, notation);
    const minor = write({ tonic: (tonic + 9) % 12, mode: "minor" }, notation);
    const both = `${major} / ${minor}`;
    // Six sharps keep one spelling for both.
    const mended = tonic === 6 && (notation === "musical" || notation === "short");
    return mended ? both.replace("Eb", "D#") : both;
  }
  const steps = around(majorTonic(parsed));
  switch (notation) {
    case "camelot":
      return `${modulo(steps + 7, 12) + 1}${mode === "major" ? "B" : "A"}`;
    case "openkey":
      return `${modulo(steps, 12) + 1}${mode === "major" ? "d" : "m"}`;
    case "short":
      return CONVENTIONAL[mode][tonic] + (mode === "minor" ? "m" : "");
    case "musical":
      return `${CONVENTIONAL[mode][tonic]} ${mode}`;
    default:
      return `${(notation === "sharps" ? SHARPS : FLATS)[tonic]} ${mode}`;
  }
}
