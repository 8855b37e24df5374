/** A JSON document that remembers what `JSON.parse` forgets: duplicate keys and inexact numbers. */

import { TypedDataError } from "./error.js";

/** A number with a fraction or an exponent, or beyond 64 bits. */
export const INEXACT = Symbol("inexact");

export type Json = null | boolean | bigint | typeof INEXACT | string | readonly Json[] | ReadonlyMap<string, Json>;

/** How deep arrays and objects may nest. */
const DEPTH_MAX = 127;

const SPACE = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what a JSON string may not hold
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const WORDS: readonly (readonly [string, Json])[] = [
  ["null", null],
  ["true", true],
  ["false", false],
];

function invalid(): TypedDataError {
  return new TypedDataError("invalid_json");
}

/** Reads one document and nothing after it. */
export function parseJson(text: string): Json {
  // What is no Unicode text has no UTF-8, and so no place in a document.
  if (/\p{Cs}/u.test(text)) throw invalid();
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.end();
  return value;
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): Json {
    if (depth > DEPTH_MAX) throw invalid();
    this.#match(SPACE);
    const next = this.#text[this.#at];
    if (next === "{") return this.#object(depth);
    if (next === "[") return this.#array(depth);
    if (next === '"') return this.#string();
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  end(): void {
    this.#match(SPACE);
    if (this.#at !== this.#text.length) throw invalid();
  }

  #object(depth: number): ReadonlyMap<string, Json> {
    const out = new Map<string, Json>();
    this.#list("{", "}", () => {
      this.#match(SPACE);
      const name = this.#string();
      this.#match(SPACE);
      this.#expect(":");
      if (out.has(name)) throw invalid();
      out.set(name, this.value(depth + 1));
    });
    return out;
  }

  #array(depth: number): readonly Json[] {
    const out: Json[] = [];
    this.#list("[", "]", () => out.push(this.value(depth + 1)));
    return out;
  }

  #list(open: string, close: string, item: () => void): void {
    this.#expect(open);
    this.#match(SPACE);
    if (this.#take(close)) return;
    do item();
    while (this.#comma());
    this.#expect(close);
  }

  #comma(): boolean {
    this.#match(SPACE);
    return this.#take(",");
  }

  #string(): string {
    const value = JSON.parse(this.#token(STRING)[0]) as string;
    if (/\p{Cs}/u.test(value)) throw invalid();
    return value;
  }

  #number(): bigint | typeof INEXACT {
    const [text, fraction, exponent] = this.#token(NUMBER);
    if (fraction !== undefined || exponent !== undefined || text === "-0" || text.length > 20) return INEXACT;
    const value = BigInt(text);
    return value < 1n << 64n && value >= -(1n << 63n) ? value : INEXACT;
  }

  #token(pattern: RegExp): RegExpExecArray {
    const match = this.#match(pattern);
    if (match === null) throw invalid();
    return match;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match !== null) this.#at += match[0].length;
    return match;
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw invalid();
  }
}
