/**
 * Keys over time: the windows of an estimate, smoothed into spans of one key each by the Viterbi
 * algorithm, where a change of key has a price that grows with its distance.
 */
import { pooled, WINDOW_HOP, WINDOW_SECONDS, type Estimate } from "./estimate.ts";
import { fifthsDistance, parse } from "./keys.ts";
import type { Model } from "./model.ts";
import { argmax } from "./numbers.ts";

/** A stretch in one key, in seconds; the confidence is that of a recording of it alone. */
export interface Span {
  start: number;
  end: number;
  key: string;
  confidence: number;
}

/** A change of key at `time` in seconds; the confidence, 0.5 to 1, is that there is one. */
export interface Modulation {
  time: number;
  before: string;
  after: string;
  confidence: number;
}

/** The keys of a recording over time. */
export interface Timeline {
  /** Centres of the windows in seconds. */
  times: number[];
  /** Of each window, as the network says it, in the order of the model's labels. */
  probabilities: Float32Array[];
  /** Key of each window after smoothing. */
  keys: string[];
  /** From 0 to the end, one after another; empty where the recording has no key. */
  spans: Span[];
  modulations: Modulation[];
  /** Where the windows say something else than the whole, in words. */
  warnings: string[];
}

// Prices in nats: of any change, and of each step on the circle of fifths.
const CHANGE_PRICE = 4.5;
const STEP_PRICE = 0.5;
// A change of mode counts as so many steps.
const MODE_STEP = 0.5;
// Share of a window's probability that is spread over all keys.
const DOUBT = 0.03;

/**
 * The keys of a recording over time.
 *
 * @param found an estimate that was made with the option `windows`.
 */
export function timeline(model: Model, found: Estimate): Timeline {
  const { key, windows, labels } = found;
  const empty = { times: [], probabilities: [], keys: [], spans: [], modulations: [] };
  if (key === null) return { ...empty, warnings: [] };
  if (!windows.length) throw new Error("a timeline needs an estimate with the option windows");
  const times = windows.map((window) => (window.start + window.end) / 2);
  // Overlapping windows repeat audio: each counts only for the audio that it adds.
  const evidence = windows.map((window, i) => {
    const before = i ? times[i - 1] : times[0] - WINDOW_HOP;
    const share = window.counted ? (times[i] - before) / WINDOW_SECONDS : 0;
    return evidenceOf(window.probabilities, share);
  });
  const price = changePrices(labels);
  const path = viterbi(evidence, price);
  const starts = path.flatMap((state, i) => (i && state === path[i - 1] ? [] : [i]));
  const ends = [...starts.slice(1), path.length];
  const edges = starts.map((at) => (at ? (times[at - 1] + times[at]) / 2 : 0));
  edges.push(found.seconds);

  let spans = starts.map((from, k): Span => {
    const used = windows.slice(from, ends[k]).filter((window) => window.counted);
    const answer = used.length ? pooled(model, used.map((window) => window.probabilities)) : null;
    const state = path[from];
    return {
      start: edges[k],
      end: edges[k + 1],
      key: labels[state],
      confidence: answer ? answer[state] : 0,
    };
  });
  const sums = starts.map((from, k) =>
    labels.map((_, i) => evidence.slice(from, ends[k]).reduce((sum, row) => sum + row[i], 0)),
  );
  const modulations = spans.slice(1).map((span, k): Modulation => {
    const [one, two] = [path[starts[k]], path[starts[k + 1]]];
    const single = Math.max(...labels.map((_, i) => sums[k][i] + sums[k + 1][i]));
    const gain = sums[k][one] + sums[k + 1][two] - price[one][two] - single;
    return {
      time: span.start,
      before: labels[one],
      after: labels[two],
      confidence: 1 / (1 + Math.exp(-Math.max(gain, 0))),
    };
  });
  let keys = path.map((state) => labels[state]);
  const warnings: string[] = [];
  if (!keys.includes(key)) {
    const local = [...new Set(keys)].join(" and ");
    warnings.push(`${key} on the whole, but windows of ${WINDOW_SECONDS} s suggest ${local}`);
  }
  if (spans.length === 1) {
    // One key from start to end: that of the recording.
    spans = [{ start: 0, end: found.seconds, key, confidence: found.confidence }];
    keys = keys.map(() => key);
  }
  const probabilities = windows.map((window) => window.probabilities);
  return { times, probabilities, keys, spans, modulations, warnings };
}

/** Log-likelihood of each label in a window, a share of which counts. */
export function evidenceOf(probabilities: Float32Array, share: number): number[] {
  return Array.from(
    probabilities,
    (p) => share * Math.log((1 - DOUBT) * p + DOUBT / probabilities.length),
  );
}

/** Prices of a change from one label (row) to another (column); 0 on the diagonal. */
export function changePrices(labels: readonly string[]): number[][] {
  const price = (one: string, other: string): number => {
    if (one === other) return 0;
    const otherMode = parse(one).mode !== parse(other).mode;
    return CHANGE_PRICE + STEP_PRICE * (fifthsDistance(one, other) + (otherMode ? MODE_STEP : 0));
  };
  return labels.map((one) => labels.map((other) => price(one, other)));
}

/** The states with the largest sum of evidence (steps, states) less prices. */
export function viterbi(evidence: number[][], price: number[][]): number[] {
  let best = evidence[0];
  const previous: number[][] = [];
  for (const row of evidence.slice(1)) {
    const from = row.map((_, state) => argmax(best.map((score, old) => score - price[old][state])));
    const reached = best;
    best = row.map((value, state) => reached[from[state]] - price[from[state]][state] + value);
    previous.push(from);
  }
  const path = [argmax(best)];
  for (const from of previous.reverse()) path.push(from[path[path.length - 1]]);
  return path.reverse();
}
