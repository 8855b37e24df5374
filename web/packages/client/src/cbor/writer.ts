import { utf8 } from "../bytes.js";
import { MAJOR } from "./reader.js";

/** Writes the deterministic form into memory reserved at once, or only counts: a buffer that grows leaves copies behind. */
export class Writer {
  readonly #out: Uint8Array | undefined;
  #length = 0;

  /** Without `out` it counts. */
  constructor(out?: Uint8Array) {
    this.#out = out;
  }

  get length(): number {
    return this.#length;
  }

  head(major: number, argument: number | bigint): void {
    const value = BigInt(argument);
    const kind = major << 5;
    if (value < 24n) this.#number(kind | Number(value), 0n, 0);
    else if (value < 0x100n) this.#number(kind | 24, value, 1);
    else if (value < 0x1_0000n) this.#number(kind | 25, value, 2);
    else if (value < 0x1_0000_0000n) this.#number(kind | 26, value, 4);
    else if (value < 1n << 64n) this.#number(kind | 27, value, 8);
    else throw new RangeError("a number beyond 64 bits");
  }

  uint(value: number | bigint): void {
    this.head(MAJOR.unsigned, value);
  }

  bytes(value: Uint8Array): void {
    this.head(MAJOR.bytes, value.length);
    this.#append(value);
  }

  text(value: string): void {
    const bytes = utf8(value);
    this.head(MAJOR.text, bytes.length);
    this.#append(bytes);
  }

  array(count: number): void {
    this.head(MAJOR.array, count);
  }

  bool(value: boolean): void {
    this.#append(Uint8Array.of(value ? 0xf5 : 0xf4));
  }

  null(): void {
    this.#append(Uint8Array.of(0xf6));
  }

  #number(first: number, value: bigint, bytes: number): void {
    const out = new Uint8Array(1 + bytes);
    out[0] = first;
    for (let index = bytes, rest = value; index > 0; index -= 1, rest >>= 8n) out[index] = Number(rest & 0xffn);
    this.#append(out);
  }

  #append(bytes: Uint8Array): void {
    this.#out?.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}
