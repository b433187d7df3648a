/** Light or dark: as the system says, until somebody says otherwise. */
import { makeStore } from "../api/store";

export type ThemeChoice = "system" | "light" | "dark";

const NAME = "crucible.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function stored(): ThemeChoice {
  try {
    const value = localStorage.getItem(NAME);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

export const themeChoice = makeStore<ThemeChoice>(stored());
export const theme = makeStore<"light" | "dark">("light");

function apply(): void {
  const choice = themeChoice.get();
  const now = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
  document.documentElement.dataset["theme"] = now;
  theme.set(now);
}

export function chooseTheme(choice: ThemeChoice): void {
  try {
    if (choice === "system") localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, choice);
  } catch {
    // It then holds for this page alone.
  }
  themeChoice.set(choice);
  apply();
}

dark.addEventListener("change", apply);
apply();
