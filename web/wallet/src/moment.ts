/** Moments as people read them. Most come from a host, whose numbers need not be moments. */

import type { Language } from "./preferences.ts";

/** The last second that a date of ECMAScript can hold. */
const SECONDS_MAX = 8_640_000_000_000;

/** Day and time; nothing where there is no such day. */
export function dateOf(seconds: number, language: Language): string {
  return written(seconds, language, { dateStyle: "medium", timeStyle: "short" });
}

/** Time of the day; nothing where there is no such day. */
export function timeOf(seconds: number, language: Language): string {
  return written(seconds, language, { timeStyle: "short" });
}

function written(seconds: number, language: Language, style: Intl.DateTimeFormatOptions): string {
  return seconds > SECONDS_MAX ? "" : new Intl.DateTimeFormat(language, style).format(seconds * 1000);
}
