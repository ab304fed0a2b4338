/** The table as CSV, JSON and M3U, as `stonekey` writes them (its `output` formats). */
import { format, mixOrder, parse, signature, type Notation } from "../../js/src/index.ts";
import type { Track } from "./tracks.ts";

/** The record of a track: fields and order are those of `stonekey FILE --format json`. */
function record(track: Track, notation: Notation): Record<string, unknown> {
  const { result } = track;
  const key = result?.key ?? null;
  const [tonic, mode] = key && parse(key).mode ? key.split(" ") : [null, null];
  const ranked = result
    ? result.labels
        .map((label, i) => ({ label, probability: result.probabilities[i] }))
        .filter(() => result.probabilities.some((p) => p > 0))
        .sort((a, b) => b.probability - a.probability)
        .slice(0, 3)
    : [];
  return {
    file: track.path,
    key: key && format(key, notation),
    tonic,
    mode,
    signature: key && signature(key),
    camelot: key && format(key, "camelot"),
    open_key: key && format(key, "openkey"),
    confidence: result && rounded(result.confidence, 4),
    top: ranked.map(({ label, probability }) => ({
      key: format(label, notation),
      probability: rounded(probability, 4),
    })),
    duration: result && rounded(result.seconds, 3),
    segments: result && result.segments.length,
    tuning: result && result.tuning !== null ? rounded(result.tuning, 1) : null,
    model: result && result.model,
    warnings: result ? result.warnings : [],
    error: track.error,
  };
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits)) + 0; // no -0
}

export function json(tracks: readonly Track[], notation: Notation): string {
  if (!tracks.length) return "[]\n";
  return `[\n${tracks.map((track) => JSON.stringify(record(track, notation))).join(",\n")}\n]\n`;
}

export function csv(tracks: readonly Track[], notation: Notation): string {
  const rows = tracks.map((track) =>
    Object.entries(record(track, notation)).map(([name, value]) =>
      cell(flat(name, value), name === "file"),
    ),
  );
  const columns = Object.keys(record({ path: "", result: null, error: null } as Track, notation));
  return [columns, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

/** Lists in one cell: `C major=0.81; A minor=0.12`. */
function flat(name: string, value: unknown): unknown {
  if (name === "warnings") return (value as string[]).join("; ");
  if (name !== "top") return value;
  return (value as { key: string; probability: number }[])
    .map(({ key, probability }) => `${key}=${probability}`)
    .join("; ");
}

/** What spreadsheets do not take for a formula. */
function cell(value: unknown, path: boolean): string {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string" || !/^[=+\-@\t\r]/.test(value)) return String(value);
  return (path ? "./" : "'") + value;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

/** A playlist in which each track is near the one before; those without a key come last. */
export function m3u(tracks: readonly Track[]): string {
  const order = mixOrder(tracks.map(({ result }) => result?.key ?? null));
  const lines = ["#EXTM3U"];
  for (const index of order) {
    const { path, result } = tracks[index];
    const name = path.slice(path.lastIndexOf("/") + 1);
    const title = name.replace(/\.[^.]*$/, "").split(/\s+/).join(" ");
    lines.push(`#EXTINF:${result ? Math.round(result.seconds) : -1},${title}`);
    const line = path.replace(/[\r\n]/g, encodeURIComponent);
    lines.push(/^[#\s]/.test(line) ? `./${line}` : line);
  }
  return `${lines.join("\n")}\n`;
}

/** The table for the clipboard: name, key and confidence, which spreadsheets take as columns. */
export function text(tracks: readonly Track[], notation: Notation): string {
  return tracks
    .map(({ path, result, error }) => {
      const rest = result
        ? [format(result.key, notation), result.confidence.toFixed(4)]
        : ["error", cell(error, false)];
      return [cell(path, true), ...rest].map((part) => part.replace(/\s+/g, " ")).join("\t");
    })
    .map((line) => `${line}\n`)
    .join("");
}

/** Let the browser save a text as a file. */
export function download(name: string, type: string, content: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
