/** The values of typed data; which type one belongs to is written in the schema. */

import type { Bytes } from "../../bytes.js";
import type { Schema, Type } from "./schema.js";

/** An integer, bytes of any kind, a text, a boolean, or the elements or fields in order. */
export type Value = bigint | Bytes | string | boolean | readonly Value[];

/** Typed data whose values fit their types. */
export interface TypedData {
  readonly schema: Schema;
  readonly primary: string;
  readonly domain: readonly Value[];
  readonly message: readonly Value[];
}

/** Whether an integer is a value of `uintN` or `intN`. */
export function fits(value: bigint, type: Type): boolean {
  if (type.kind === "uint") return value >= 0n && value < 1n << BigInt(type.bits);
  return type.kind === "int" && BigInt.asIntN(type.bits, value) === value;
}

/** The 256-bit word of an integer, big-endian, in two's complement. */
export function wordOf(value: bigint): Bytes {
  const out = new Uint8Array(32);
  let rest = BigInt.asUintN(256, value);
  for (let at = 31; rest > 0n; at -= 1, rest >>= 8n) out[at] = Number(rest & 0xffn);
  return out;
}

/** The integer of a 256-bit word as a value of this type. */
export function integerOf(word: Bytes, type: Type): bigint {
  const value = word.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return type.kind === "int" ? BigInt.asIntN(256, value) : value;
}
