/** From a key to text in the reader's language. */

import type { Language } from "../preferences.ts";
import { en, type MessageKey, type Messages, type Values } from "./messages.ts";

export type Text = (key: MessageKey, values?: Values) => string;

/** Languages beside the one that is always there; each is loaded when it is chosen. */
const LOADERS: Readonly<Record<Exclude<Language, "en">, () => Promise<Messages>>> = {
  ko: async () => (await import("./ko.ts")).ko,
};

export async function loadMessages(language: Language): Promise<Messages> {
  return language === "en" ? en : LOADERS[language]();
}

/** A key of counted things ends with the plural form of `count`; every language has at least `other`. */
export function textIn(language: Language, messages: Messages): Text {
  const rules = new Intl.PluralRules(language);
  const all: Readonly<Record<string, string>> = messages;
  return (key, values = {}) => {
    const form = typeof values.count === "number" ? rules.select(values.count) : "other";
    const text = all[key] ?? all[`${key}.${form}`] ?? all[`${key}.other`] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
  };
}
