/**
 * A reader of DER (X.690), as much as certificates of P-384 chains need. Written here because the strict subset is small, and
 * the libraries for all of X.509 read BER, decide what to ignore, and take 60 kB (@peculiar/x509) or 85 kB (pkijs) compressed.
 */

import type { Bytes } from "../bytes.js";

/** Not DER, or not the wanted element. */
export class DerError extends Error {}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** How deep constructed elements may nest; certificates take eight. */
const DEPTH_MAX = 16;

export interface Element {
  readonly tag: number;
  /** Tag, length and content. */
  readonly whole: Bytes;
  readonly content: Bytes;
}

/** Reads elements front to back. */
export class Der {
  readonly #bytes: Bytes;
  #at = 0;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The tag of the next element, if there is one. */
  peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The next element, of this tag. */
  element(tag: number): Element {
    if (this.peek() !== tag) throw new DerError(`tag ${this.peek()} in place of ${tag}`);
    return this.any();
  }

  /** The elements inside the next one, which has this tag. */
  inside(tag: number): Der {
    return new Der(this.element(tag).content);
  }

  /** The next element, whatever it is. */
  any(): Element {
    const start = this.#at;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw new DerError("a tag of more than one byte");
    const length = this.#length();
    const from = this.#at;
    if (length > this.#bytes.length - from) throw new DerError("cut off");
    this.#at = from + length;
    return { tag, whole: this.#bytes.slice(start, this.#at), content: this.#bytes.slice(from, this.#at) };
  }

  /** Refuses elements that nobody read. */
  end(): void {
    if (!this.isEmpty) throw new DerError("bytes after the end");
  }

  /** Definite and in the shortest form; certificates are far below 64 KiB. */
  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    if (first === 0x81) return this.#least(this.#byte(), 0x80);
    if (first === 0x82) return this.#least((this.#byte() << 8) | this.#byte(), 0x100);
    throw new DerError("a length of no use here");
  }

  #least(length: number, least: number): number {
    if (length < least) throw new DerError("a length longer than it must be");
    return length;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new DerError("cut off");
    this.#at += 1;
    return byte;
  }
}

/** Every element down to the leaves is well-formed DER: lengths, booleans, integers, bit strings, order of sets. */
export function checkDer(bytes: Bytes, depth = DEPTH_MAX): void {
  if (depth === 0) throw new DerError("nested too deeply");
  const reader = new Der(bytes);
  while (!reader.isEmpty) {
    const { tag, content } = reader.any();
    if (tag & 0x20) checkDer(content, depth - 1);
    if (tag === TAG.set) checkSet(content);
    if (tag === TAG.boolean) boolean(content);
    if (tag === TAG.integer) integer(content);
    if (tag === TAG.bitString) bitString(content);
  }
}

/** Elements of a SET OF are in ascending order. */
function checkSet(content: Bytes): void {
  const reader = new Der(content);
  let before: Bytes | undefined;
  while (!reader.isEmpty) {
    const { whole } = reader.any();
    if (before !== undefined && compare(before, whole) > 0) throw new DerError("a set in another order");
    before = whole;
  }
}

function compare(a: Bytes, b: Bytes): number {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function boolean(content: Bytes): boolean {
  const [byte] = content;
  if (content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw new DerError("not a boolean");
  return byte === 0xff;
}

/** The content of an integer in its shortest form. */
export function integer(content: Bytes): Bytes {
  const [first, second] = content;
  if (first === undefined) throw new DerError("an integer without a byte");
  const isPadded = second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (isPadded) throw new DerError("an integer longer than it must be");
  return content;
}

/** The magnitude of an integer that is not negative, without its sign byte. */
export function natural(content: Bytes): Bytes {
  const [first = 0] = integer(content);
  if (first >= 0x80) throw new DerError("a negative integer");
  return first === 0 ? content.subarray(1) : content;
}

export interface BitString {
  readonly unused: number;
  readonly bytes: Bytes;
}

export function bitString(content: Bytes): BitString {
  const [unused] = content;
  if (unused === undefined || unused > 7 || (content.length === 1 && unused > 0))
    throw new DerError("not a bit string");
  const bytes = content.slice(1);
  if ((bytes.at(-1) ?? 0) & ((1 << unused) - 1)) throw new DerError("unused bits that are set");
  return { unused, bytes };
}
