/** From a key to text in the reader's language. */

import { SENTENCES, type Sentence, type SentenceKey } from "@pinseal/client";
import type { Language } from "../preferences.ts";
import { en, type MessageKey, type Messages, type Values } from "./messages.ts";

export interface Text {
  (key: MessageKey, values?: Values): string;
  /** What a view of something to be signed says. */
  readonly decoded: (sentence: Sentence) => string;
}

/** All that a language has to say: in the page's own words, and in those of what is signed. */
export interface Tongue {
  readonly messages: Messages;
  readonly decoded: Readonly<Record<SentenceKey, string>>;
}

export const ENGLISH: Tongue = { messages: en, decoded: SENTENCES };

/** Languages beside the one that is always there; each is loaded when it is chosen. */
const LOADERS: Readonly<Record<Exclude<Language, "en">, () => Promise<Tongue>>> = {
  ko: async () => {
    const [{ ko: messages }, { ko: decoded }] = await Promise.all([import("./ko.ts"), import("../decoded/ko.ts")]);
    return { messages, decoded };
  },
};

export async function loadTongue(language: Language): Promise<Tongue> {
  return language === "en" ? ENGLISH : LOADERS[language]();
}

/** A moment that matters wherever it is read: with its zone. */
const DATE = {
  year: "numeric",
  month: "long",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
  timeZoneName: "short",
} as const;

/** A key of counted things ends with the plural form of `count`; every language has at least `other`. */
export function textIn(language: Language, { messages, decoded }: Tongue): Text {
  const rules = new Intl.PluralRules(language);
  const dates = new Intl.DateTimeFormat(language, DATE);
  const all: Readonly<Record<string, string>> = messages;
  const say = (key: MessageKey, values: Values = {}): string => {
    const form = typeof values.count === "number" ? rules.select(values.count) : "other";
    const text = all[key] ?? all[`${key}.${form}`] ?? all[`${key}.other`] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
  };
  const put = (said: Sentence | string): string =>
    typeof said === "string"
      ? said
      : decoded[said.key].replace(/\{(\w+)\}/g, (_, name: string) => {
          const value = said.values[name] ?? "";
          const time = name === "date" && typeof value === "string" ? Date.parse(value) : Number.NaN;
          return Number.isNaN(time) ? put(value) : dates.format(time);
        });
  return Object.assign(say, { decoded: put });
}
