/** What somebody set on this device: nothing secret, so it lies in the origin's local storage, and other tabs hear of a change. */

export const LANGUAGES = ["en", "ko"] as const;
export type Language = (typeof LANGUAGES)[number];
export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export interface Preferences {
  readonly language: Language;
  /** Somebody chose it; otherwise it is the browser's, or an app's wish. */
  readonly isLanguageChosen: boolean;
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
  const chosen = one(LANGUAGES, stored.language);
  return {
    language: chosen ?? preferred(),
    isLanguageChosen: chosen !== undefined,
    theme: one(THEMES, stored.theme) ?? "system",
    network: typeof stored.network === "string" ? stored.network : undefined,
    account: Number.isSafeInteger(account) && (account as number) >= 0 ? (account as number) : 0,
    shuffled: stored.shuffled === true,
  };
}

export function writePreferences({ isLanguageChosen, language, ...others }: Preferences): void {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify({ ...others, ...(isLanguageChosen && { language }) }));
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
  return navigator.languages.map(languageOf).find((found) => found) ?? "en";
}

/** The language of the page that a BCP 47 tag asks for, whatever the region. */
export function languageOf(tag: string): Language | undefined {
  const [primary] = tag.toLowerCase().split("-");
  return LANGUAGES.find((language) => language === primary);
}
