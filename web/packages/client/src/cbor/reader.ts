import { type Bytes, fromUtf8 } from "../bytes.js";
import { malformed, notCanonical } from "./error.js";

/** Major types of RFC 8949, section 3.1, as far as messages use them. */
export const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const;

const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;

/** Argument lengths by additional information 24 to 27, and the least value that needs each. */
const ARGUMENTS = [
  { bytes: 1, least: 24n },
  { bytes: 2, least: 0x100n },
  { bytes: 4, least: 0x1_0000n },
  { bytes: 8, least: 0x1_0000_0000n },
];

/**
 * Reads the deterministic form of RFC 8949, section 4.2.1: shortest integers and lengths, everything definite. What is read here
 * has no second encoding, so two byte strings never mean the same thing. Nothing is allocated by an announced length alone.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** How many bytes were read. */
  get position(): number {
    return this.#at;
  }

  /** The next byte, which stays. */
  peek(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw malformed("cut off");
    return byte;
  }

  /** The argument of the next head, which must be of this major type. */
  head(major: number): bigint {
    const first = this.#byte();
    if (first >> 5 !== major) throw malformed(`major type ${first >> 5} in place of ${major}`);
    const info = first & 0x1f;
    if (info < 24) return BigInt(info);
    const form = ARGUMENTS[info - 24];
    if (form === undefined) throw info === 31 ? notCanonical("indefinite") : malformed("reserved length");
    let value = 0n;
    for (let index = 0; index < form.bytes; index += 1) value = (value << 8n) | BigInt(this.#byte());
    if (value < form.least) throw notCanonical("longer");
    return value;
  }

  uint(): bigint {
    return this.head(MAJOR.unsigned);
  }

  bytes(): Bytes {
    return this.#take(this.head(MAJOR.bytes)).slice();
  }

  text(): string {
    const text = fromUtf8(this.#take(this.head(MAJOR.text)));
    if (text === undefined) throw malformed("text that is not UTF-8");
    return text;
  }

  /** The number of items that follow; every item takes a byte at least. */
  array(): number {
    return this.#count(this.head(MAJOR.array), 1);
  }

  /** The number of pairs that follow. */
  map(): number {
    return this.#count(this.head(MAJOR.map), 2);
  }

  bool(): boolean {
    const byte = this.#byte();
    if (byte !== TRUE && byte !== FALSE) throw malformed("not a boolean");
    return byte === TRUE;
  }

  /** True, and read, if a null is next. */
  null(): boolean {
    if (this.peek() !== NULL) return false;
    this.#at += 1;
    return true;
  }

  /** Refuses bytes that nobody read. */
  end(): void {
    if (this.left !== 0) throw notCanonical("trailing");
  }

  /** Reads past one value of any type but floats, and gives its bytes. Nothing here nests deeper than `depth`. */
  skip(depth = 8): Uint8Array {
    const start = this.#at;
    const major = this.peek() >> 5;
    if (major === MAJOR.simple) {
      if (!this.null()) this.bool();
    } else if (major === MAJOR.bytes || major === MAJOR.text) {
      this.#take(this.head(major));
    } else {
      const argument = this.head(major);
      const within = { [MAJOR.array]: 1n, [MAJOR.map]: 2n }[major];
      const items = major === MAJOR.tag ? 1 : within === undefined ? 0 : this.#count(argument * within, 1);
      if (items > 0 && depth === 0) throw malformed("nested too deeply");
      for (let index = 0; index < items; index += 1) this.skip(depth - 1);
    }
    return this.#bytes.subarray(start, this.#at);
  }

  #byte(): number {
    const byte = this.peek();
    this.#at += 1;
    return byte;
  }

  #take(length: bigint): Uint8Array {
    if (length > BigInt(this.left)) throw malformed("cut off");
    const start = this.#at;
    this.#at += Number(length);
    return this.#bytes.subarray(start, this.#at);
  }

  #count(count: bigint, bytesEach: number): number {
    if (count * BigInt(bytesEach) > BigInt(this.left)) throw malformed("cut off");
    return Number(count);
  }
}
