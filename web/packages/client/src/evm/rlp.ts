/** Strict reading and writing of RLP lists. */

import { type Bytes, concat } from "../bytes.js";

/** Bytes are not the one RLP encoding of what is wanted. */
export class RlpError extends Error {}

/** The items of one list, read front to back. */
export class Items {
  readonly #bytes: Bytes;
  #at = 0;

  private constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  /** Opens a list that fills `bytes` exactly. */
  static open(bytes: Bytes): Items {
    const outer = new Items(bytes);
    const list = outer.list();
    outer.end();
    return list;
  }

  get isEmpty(): boolean {
    return this.#at === this.#bytes.length;
  }

  list(): Items {
    return new Items(this.#payload(true));
  }

  bytes(): Bytes {
    return this.#payload(false);
  }

  fixed(length: number): Bytes {
    const bytes = this.bytes();
    if (bytes.length !== length) throw new RlpError("a string of the wrong length");
    return bytes;
  }

  /** An integer of at most this many bytes, without leading zeros. */
  uint(bytesMax: number): bigint {
    const bytes = this.bytes();
    if (bytes[0] === 0) throw new RlpError("an integer with a leading zero");
    if (bytes.length > bytesMax) throw new RlpError("an integer that does not fit");
    return toBigint(bytes);
  }

  /** Zero or one. */
  parity(): number {
    const value = this.uint(8);
    if (value > 1n) throw new RlpError("not a parity");
    return Number(value);
  }

  /** Refuses items that nobody read. */
  end(): void {
    if (!this.isEmpty) throw new RlpError("more items than there are fields");
  }

  #payload(isList: boolean): Bytes {
    const first = this.#bytes[this.#at];
    if (first === undefined) throw new RlpError("cut off");
    if (first >= 0xc0 !== isList) throw new RlpError("string and list mistaken");
    if (first < 0x80) return this.#take(1);
    const short = first - (isList ? 0xc0 : 0x80);
    this.#at += 1;
    const length = short <= 55 ? short : this.#longLength(short - 55);
    const payload = this.#take(length);
    if (!isList && length === 1 && (payload[0] ?? 0) < 0x80) throw new RlpError("a byte longer than it must be");
    return payload;
  }

  #longLength(bytes: number): number {
    const encoded = this.#take(bytes);
    if (encoded[0] === 0) throw new RlpError("a length with a leading zero");
    const length = toBigint(encoded);
    if (length < 56n) throw new RlpError("a length longer than it must be");
    if (length > BigInt(this.#bytes.length)) throw new RlpError("cut off");
    return Number(length);
  }

  #take(length: number): Bytes {
    if (length > this.#bytes.length - this.#at) throw new RlpError("cut off");
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }
}

function toBigint(bytes: Bytes): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** Big-endian without leading zeros; zero is no byte. */
function trimmed(value: bigint): Bytes {
  const out: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 8n) out.unshift(Number(rest & 0xffn));
  return Uint8Array.from(out);
}

/** Something to be written: an integer, a string, or a list. */
export type Item = bigint | Bytes | readonly Item[];

export function encodeRlp(item: Item): Bytes {
  if (typeof item === "bigint") return encodeRlp(trimmed(item));
  if (item instanceof Uint8Array) {
    const isItself = item.length === 1 && (item[0] ?? 0) < 0x80;
    return isItself ? item : concat(head(0x80, item.length), item);
  }
  const payload = concat(...item.map(encodeRlp));
  return concat(head(0xc0, payload.length), payload);
}

function head(base: number, length: number): Bytes {
  if (length <= 55) return Uint8Array.of(base + length);
  const bytes = trimmed(BigInt(length));
  return concat(Uint8Array.of(base + 55 + bytes.length), bytes);
}
