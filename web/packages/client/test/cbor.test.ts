import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../src/bytes.js";
import { bool, bytes, type Codec, decode, encode, list, optional, text, u64 } from "../src/cbor/codec.js";
import { CborError } from "../src/cbor/error.js";
import { hex, vectors } from "./vectors.js";

interface File {
  unsigned: { value: string; hex: string }[];
  bytes: { value: string; hex: string }[];
  text: { value: string; hex: string }[];
  list: { value: number[]; hex: string }[];
  bool: { value: boolean; hex: string }[];
  null: string;
  refused: { type: string; hex: string; why: string }[];
}
const file = vectors<File>("protocol/cbor.json");

const numbers = list(u64);
const nothing = optional(u64);

function both<T>(codec: Codec<T>, value: T, encoded: string): void {
  assert.equal(toHex(encode(codec, value)), encoded);
  assert.deepEqual(decode(codec, hex(encoded)), value);
}

test("values of RFC 8949 have one encoding, both ways", () => {
  for (const { value, hex } of file.unsigned) both(u64, BigInt(value), hex);
  for (const { value, hex: encoded } of file.bytes) both(bytes, hex(value), encoded);
  for (const { value, hex } of file.text) both(text, value, hex);
  for (const { value, hex } of file.list) both(numbers, value.map(BigInt), hex);
  for (const { value, hex } of file.bool) both(bool, value, hex);
  both(nothing, undefined, file.null);
});

test("what is not deterministic is refused", () => {
  const codecs: Record<string, Codec<unknown>> = {
    unsigned: u64,
    bytes,
    text,
    list: numbers,
    bool,
    null: nothing,
  } as never;
  for (const { type, hex: encoded, why } of file.refused) {
    const codec = codecs[type];
    assert.ok(codec, `the test does not know the type ${type}`);
    assert.throws(() => decode(codec, hex(encoded)), CborError, `${encoded}: ${why}`);
  }
});

test("a byte-order mark is text like any other", () => {
  both(text, "\ufeffa", "64efbbbf61");
});
