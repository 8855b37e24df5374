/** What somebody set on this device: nothing secret, so it lies in the origin's local storage, and other tabs hear of a change. */

export const LANGUAGES = ["en", "ko"] as const;
export type Language = (typeof LANGUAGES)[number];
export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export interface Preferences {
  readonly language: Language;
  readonly theme: Theme;
  /** CAIP-2 id; absent until somebody chose. */
  readonly network: string | undefined;
  /** Account shown first. */
  readonly account: number;
  /** Keys of the pad in a new order each time. */
  readonly shuffled: boolean;
}

export const STORAGE_KEY = "pinseal preferences";

/** As stored, and as the browser asks where nothing is. Whatever does not fit counts as not set. */
export function readPreferences(): Preferences {
  const stored = parse(read());
  const one = <T extends string>(names: readonly T[], value: unknown) => names.find((name) => name === value);
  const { account } = stored;
  return {
    language: one(LANGUAGES, stored.language) ?? preferred(),
    theme: one(THEMES, stored.theme) ?? "system",
    network: typeof stored.network === "string" ? stored.network : undefined,
    account: Number.isSafeInteger(account) && (account as number) >= 0 ? (account as number) : 0,
    shuffled: stored.shuffled === true,
  };
}

export function writePreferences(preferences: Preferences): void {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(preferences));
  } catch {
    // Without storage a preference holds for as long as the page is open.
  }
}

/** Calls when another tab has changed them. */
export function onPreferences(changed: (preferences: Preferences) => void): void {
  addEventListener("storage", ({ key }) => {
    if (key === STORAGE_KEY) changed(readPreferences());
  });
}

function read(): string | null {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}

function parse(text: string | null): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(text ?? "{}");
    return typeof json === "object" && json !== null ? (json as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function preferred(): Language {
  const wanted = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  return wanted.map((tag) => LANGUAGES.find((language) => language === tag)).find((found) => found) ?? "en";
}
