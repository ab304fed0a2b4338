/** What is remembered from visit to visit: how keys are written, and the colours. */
import type { Notation } from "../../js/src/index.ts";
import { strings } from "./strings.ts";

export type Theme = keyof typeof strings.themes;
export type Offered = keyof typeof strings.notations;

const PLACE = "stonekey";
const remembered = read();

export const settings: { notation: Offered & Notation; theme: Theme } = {
  notation: Object.hasOwn(strings.notations, remembered.notation) ? (remembered.notation as Offered) : "musical",
  theme: Object.hasOwn(strings.themes, remembered.theme) ? (remembered.theme as Theme) : "auto",
};

function read(): Record<string, string> {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(PLACE) ?? "{}");
    return { notation: "", theme: "", ...(found as object) };
  } catch {
    return { notation: "", theme: "" }; // no storage here, or not ours
  }
}

export function remember(): void {
  try {
    localStorage.setItem(PLACE, JSON.stringify(settings));
  } catch {
    // Then it is forgotten.
  }
}

/** Show the colours chosen. */
export function applyTheme(): void {
  const root = document.documentElement;
  if (settings.theme === "auto") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", settings.theme);
  document.dispatchEvent(new Event("themechange"));
}
