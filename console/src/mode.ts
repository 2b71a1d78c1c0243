/** Light or dark: as was chosen before, else as the system has it. */

import { applyMode, Mode } from "@cloudscape-design/global-styles";

const KEPT = "portside-mode";

export function prefersDark(): boolean {
  const chosen = localStorage.getItem(KEPT);
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export const applyDark = (isDark: boolean) => applyMode(isDark ? Mode.Dark : Mode.Light);

export const keepDark = (isDark: boolean) => localStorage.setItem(KEPT, isDark ? "dark" : "light");
