/** Harmonic mixing: moves from key to key, their distance, and orders of tracks. */
import { fifths, fifthsDistance, keyLabel, parse, signatureTonic, type Parsed } from "./keys.ts";
import { modulo } from "./numbers.ts";

const DIFFERENT_MODE = 0.5;

const relative = ({ tonic, mode }: Parsed): Parsed =>
  mode === "major" ? { tonic: tonic + 9, mode: "minor" } : { tonic: tonic + 3, mode: "major" };
const up = (key: Parsed, semitones: number): Parsed => ({ ...key, tonic: key.tonic + semitones });

const TARGETS = {
  same: (key: Parsed) => [key],
  relative: (key: Parsed) => [relative(key)],
  "fifth-up": (key: Parsed) => [up(key, 7)],
  "fifth-down": (key: Parsed) => [up(key, 5)],
  diagonal: (key: Parsed) => [relative(up(key, 7)), relative(up(key, 5))],
  "tone-up": (key: Parsed) => [up(key, 2)],
  parallel: (key: Parsed): Parsed[] => [{ ...key, mode: key.mode === "major" ? "minor" : "major" }],
  "semitone-up": (key: Parsed) => [up(key, 1)],
};

/** A way from one key to another that mixes well. */
export type Move = keyof typeof TARGETS;
/** Nearest first; no two lead to the same key. */
export const MOVES = Object.keys(TARGETS) as Move[];
const SIGNATURE_MOVES: Move[] = ["same", "fifth-up", "fifth-down", "tone-up", "semitone-up"];

/**
 * Steps between two labels on the circle of fifths, plus half a step if their modes differ: 0 to
 * 6.5. A key signature has no mode, so only the steps count.
 */
export function harmonicDistance(one: string, other: string): number {
  const [first, second] = [parse(one).mode, parse(other).mode];
  const differ = first !== null && second !== null && first !== second;
  return fifthsDistance(one, other) + (differ ? DIFFERENT_MODE : 0);
}

/**
 * The move from the first key to the second, null where they do not mix. If either is a key
 * signature, both count as signatures.
 */
export function mixesWith(one: string, other: string): Move | null {
  let [start, goal] = [parse(one), parse(other)];
  let moves = MOVES;
  if (start.mode === null || goal.mode === null) {
    start = { tonic: signatureTonic(one), mode: "major" };
    goal = { tonic: signatureTonic(other), mode: "major" };
    moves = SIGNATURE_MOVES;
  }
  const leads = (key: Parsed) =>
    key.mode === goal.mode && modulo(key.tonic, 12) === goal.tonic;
  return moves.find((move) => TARGETS[move](start).some(leads)) ?? null;
}

/** The keys that a move leads to from a key, as labels. */
export function moveTargets(label: string, move: Move): string[] {
  const { tonic, mode } = parse(label);
  const start: Parsed = { tonic, mode: mode ?? "major" };
  return TARGETS[move](start).map((key) => keyLabel(key.tonic, key.mode ?? "major"));
}

/**
 * Indices that sort labels around the Camelot wheel, from 1A and 1B to 12B; a key signature
 * follows its keys. Equal labels keep their order; null comes last.
 */
export function keyOrder(labels: readonly (string | null)[]): number[] {
  const place = (label: string | null): number => {
    if (label === null) return 100;
    const mode = parse(label).mode;
    return 3 * modulo(fifths(label) + 7, 12) + (mode === null ? 2 : mode === "major" ? 1 : 0);
  };
  const places = labels.map(place);
  return labels.map((_, index) => index).sort((a, b) => places[a] - places[b] || a - b);
}

/**
 * Indices that order labels so that each is near the one before: starts with the first label that
 * is not null and continues with the nearest one left, upwards if two are equally near. Equal
 * labels keep their order; null comes last.
 */
export function mixOrder(labels: readonly (string | null)[]): number[] {
  const waiting = new Map<string, number[]>();
  const none: number[] = [];
  labels.forEach((label, index) => {
    if (label === null) none.push(index);
    else waiting.set(label, [...(waiting.get(label) ?? []), index]);
  });
  const order: number[] = [];
  let current = waiting.keys().next().value;
  while (current !== undefined) {
    order.push(...waiting.get(current)!);
    waiting.delete(current);
    const here: string = current;
    const nearness = (label: string): number => {
      const upwards = modulo(7 * (signatureTonic(label) - signatureTonic(here)), 12);
      return 100 * harmonicDistance(here, label) + upwards;
    };
    const left = [...waiting.keys()];
    current = left.length
      ? left.reduce((best, label) => (nearness(label) < nearness(best) ? label : best))
      : undefined;
  }
  return [...order, ...none];
}
