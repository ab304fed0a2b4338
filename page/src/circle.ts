/** The circle of fifths: major keys outside, minor inside, the more colour the likelier. */
import { fifths } from "../../js/src/index.ts";
import { svg } from "./dom.ts";
import { isMinor, keyText, paint, percent, shortText } from "./look.ts";
import { fill, strings } from "./strings.ts";

const MAJOR = { inner: 124, outer: 194 };
const MINOR = { inner: 68, outer: 122 };
const WIDTH = 30; // degrees of a sector
const MAJORS = ["C", "G", "D", "A", "E", "B", "F#", "Db", "Ab", "Eb", "Bb", "F"];
const MINORS = ["A", "E", "B", "F#", "C#", "G#", "Eb", "Bb", "F", "C", "G", "D"];
const EVERY_KEY = [...MAJORS.map((name) => `${name} major`), ...MINORS.map((name) => `${name} minor`)];
const SHOWN = 0.01; // the least probability with a figure
// Where black is easier to read on the colour than white, in the dark: the share of colour.
const DARK_TEXT = { major: 0.52, minor: 0.73 };
// A sector's share of colour: small probabilities are seen too.
const strength = (probability: number) => probability ** 0.6;

/**
 * Draw the circle.
 *
 * @param probabilities of each label; empty for a circle that says nothing yet.
 * @param key the answer, to be marked; null for none.
 */
export function drawCircle(
  labels: readonly string[],
  probabilities: readonly number[],
  key: string | null,
): SVGElement {
  const sectors = labels.map((label, i) => sector(label, probabilities[i] ?? 0, label === key));
  // The marked one is drawn last, over the edges of its neighbours.
  sectors.sort((a, b) => Number(a.classList.contains("best")) - Number(b.classList.contains("best")));
  return svg(
    "svg",
    { viewBox: "-200 -200 400 400", class: "circle", role: "img", "aria-label": words(labels, probabilities) },
    ...sectors,
    ...centre(key, probabilities),
  );
}

function sector(label: string, probability: number, best: boolean): SVGElement {
  const minor = isMinor(label);
  const { inner, outer } = minor ? MINOR : MAJOR;
  const middle = fifths(label) * WIDTH;
  const share = strength(probability);
  const group = svg("g", { class: "sector" });
  paint(group, label);
  group.classList.toggle("best", best);
  group.classList.toggle("dark-text", share > DARK_TEXT[minor ? "minor" : "major"]);
  group.style.setProperty("--share", String(share));
  const [x, y] = at((inner + outer) / 2, middle);
  const figure = probability >= SHOWN;
  group.append(
    svg("title", {}, fill(strings.circleText, { key: keyText(label), share: percent(probability) })),
    svg("path", { d: ring(inner, outer, middle - WIDTH / 2, middle + WIDTH / 2) }),
    svg("text", { x, y: y + (figure ? -3 : 5), class: minor ? "small" : "" }, shortText(label)),
  );
  if (figure) group.append(svg("text", { x, y: y + 12, class: "figure" }, `${percent(probability)} %`));
  return group;
}

function centre(key: string | null, probabilities: readonly number[]): SVGElement[] {
  if (!probabilities.length) return [];
  if (key === null) return [svg("text", { x: 0, y: 5, class: "centre none" }, strings.noKey)];
  const [name, mode] = keyText(key).split(" ");
  const sure = `${percent(Math.max(...probabilities))} %`;
  return [
    svg("text", { x: 0, y: mode ? -6 : 4, class: "centre" }, name),
    ...(mode ? [svg("text", { x: 0, y: 16, class: "centre-mode" }, mode)] : []),
    svg("text", { x: 0, y: 36, class: "centre-figure" }, sure),
  ];
}

function words(labels: readonly string[], probabilities: readonly number[]): string {
  const likely = labels
    .map((label, i) => ({ label, probability: probabilities[i] ?? 0 }))
    .filter(({ probability }) => probability >= SHOWN)
    .sort((a, b) => b.probability - a.probability)
    .map(({ label, probability }) =>
      fill(strings.circleText, { key: keyText(label), share: percent(probability) }),
    );
  if (!likely.length) return strings.circleNone;
  return fill(strings.circleSays, { list: likely.join("; ") });
}

/** The point at a radius, and an angle in degrees clockwise from the top. */
function at(radius: number, angle: number): [number, number] {
  const turn = (angle * Math.PI) / 180;
  return [radius * Math.sin(turn), -radius * Math.cos(turn)];
}

function ring(inner: number, outer: number, from: number, to: number): string {
  const point = (radius: number, angle: number) => at(radius, angle).map((v) => v.toFixed(2)).join(" ");
  return (
    `M${point(inner, from)}L${point(outer, from)}A${outer} ${outer} 0 0 1 ${point(outer, to)}` +
    `L${point(inner, to)}A${inner} ${inner} 0 0 0 ${point(inner, from)}Z`
  );
}

/** The circle without words, in pale colours, or in full ones. */
export function decoration(full: boolean): SVGElement {
  const circle = drawCircle(EVERY_KEY, [], null);
  circle.classList.toggle("full", full);
  circle.removeAttribute("role");
  circle.removeAttribute("aria-label");
  circle.setAttribute("aria-hidden", "true");
  return circle;
}
