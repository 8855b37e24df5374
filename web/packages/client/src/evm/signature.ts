/** A recoverable ECDSA signature as the EVM wants it: r in 1..n, s in 1..n/2 (EIP-2), and the parity of the nonce point's y. */

import { Point, recoverPublicKey } from "@noble/secp256k1";
import { type Bytes, concat, fromHex } from "../bytes.js";
import { checksum } from "./address.js";
import { keccak256 } from "./keccak.js";
import type { Item, Items } from "./rlp.js";

/** The order n of secp256k1. */
const ORDER = 0xffff_ffff_ffff_ffff_ffff_ffff_ffff_fffe_baae_dce6_af48_a03b_bfd2_5e8c_d036_4141n;

/** A signature over secp256k1 with a low s, and which of two points R is. */
export interface RecoverableSignature {
  readonly r: bigint;
  readonly s: bigint;
  readonly yParity: number;
}

/** `undefined` if a scalar is out of range or s is high. */
export function signatureOf(r: bigint, s: bigint, yParity: number): RecoverableSignature | undefined {
  const isInRange = r > 0n && r < ORDER && s > 0n && s <= ORDER >> 1n && (yParity === 0 || yParity === 1);
  return isInRange ? { r, s, yParity } : undefined;
}

/** From r || s || v with v 27 or 28. */
export function signatureFromBytes(bytes: Bytes): RecoverableSignature | undefined {
  if (bytes.length !== 65) return undefined;
  const scalar = (from: number) =>
    bytes.subarray(from, from + 32).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  return signatureOf(scalar(0), scalar(32), (bytes[64] ?? 0) - 27);
}

/** Reads r and s of an RLP list. */
export function readScalars(items: Items, yParity: number): RecoverableSignature | undefined {
  const [r, s] = [items.uint(32), items.uint(32)];
  return signatureOf(r, s, yParity);
}

/** r and s as items of an RLP list. */
export function scalars({ r, s }: RecoverableSignature): Item[] {
  return [r, s];
}

/** The address, in its EIP-55 spelling, whose key made this signature over `digest`. */
export function recoverAddress({ r, s, yParity }: RecoverableSignature, digest: Bytes): string | undefined {
  const bytes = (value: bigint) => fromHex(value.toString(16).padStart(64, "0")) ?? new Uint8Array(32);
  try {
    const recovered = recoverPublicKey(concat(Uint8Array.of(yParity), bytes(r), bytes(s)), digest, { prehash: false });
    const [, ...coordinates] = Point.fromBytes(recovered).toBytes(false);
    return checksum(keccak256(Uint8Array.from(coordinates)).slice(12));
  } catch {
    return undefined;
  }
}
