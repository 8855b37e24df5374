import { keccak_256 } from "@noble/hashes/sha3.js";
import { type Bytes, concat } from "../bytes.js";

export function keccak256(...parts: readonly Uint8Array[]): Bytes {
  return new Uint8Array(keccak_256(concat(...parts)));
}
