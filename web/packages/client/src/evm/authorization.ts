/** EIP-7702 authorizations: which contract's code an account runs. */

import type { Bytes } from "../bytes.js";
import { IntentError } from "./error.js";
import { keccak256 } from "./keccak.js";
import { encodeRlp, type Item, Items, RlpError } from "./rlp.js";
import { type RecoverableSignature, readScalars, recoverAddress, scalars } from "./signature.js";

/** The largest chain id (EIP-2294). */
export const CHAIN_ID_MAX = (1n << 63n) - 1n - 36n;
/** The largest nonce an account can sign with (EIP-2681). */
export const NONCE_MAX = (1n << 64n) - 2n;
/** The byte before the RLP that keeps an authorization's digest apart from every transaction's. */
const MAGIC = Uint8Array.of(5);

/** EIP-7702: what an account would run. */
export interface Authorization {
  /** 0 means every chain. */
  readonly chain: bigint;
  /** The contract whose code the account will run; the zero address takes a delegation back. */
  readonly address: Bytes;
  readonly nonce: bigint;
}

/** The same, signed by the account. */
export interface SignedAuthorization {
  readonly authorization: Authorization;
  readonly signature: RecoverableSignature;
  /** Who signed it. */
  readonly authority: string;
}

export function checkAuthorization({ chain, nonce }: Authorization): void {
  if (chain > CHAIN_ID_MAX || nonce > NONCE_MAX) throw new IntentError("authorization_out_of_range");
}

/** `keccak256(0x05 || rlp([chain_id, address, nonce]))`. */
export function authorizationDigest({ chain, address, nonce }: Authorization): Bytes {
  return keccak256(MAGIC, encodeRlp([chain, address, nonce]));
}

/** Reads one tuple `[chain_id, address, nonce, y_parity, r, s]` that fills `bytes` exactly. */
export function parseSignedAuthorization(bytes: Bytes): SignedAuthorization {
  try {
    return readSignedAuthorization(Items.open(bytes));
  } catch (error) {
    throw error instanceof RlpError ? new IntentError("authorization_malformed") : error;
  }
}

export function readSignedAuthorization(items: Items): SignedAuthorization {
  const authorization = { chain: items.uint(8), address: items.fixed(20), nonce: items.uint(8) };
  const signature = readScalars(items, items.parity());
  items.end();
  checkAuthorization(authorization);
  const authority = signature && recoverAddress(signature, authorizationDigest(authorization));
  if (signature === undefined || authority === undefined) throw new IntentError("authorization_signature");
  return { authorization, signature, authority };
}

export function authorizationTuple({ authorization, signature }: SignedAuthorization): Item {
  const { chain, address, nonce } = authorization;
  return [chain, address, nonce, BigInt(signature.yParity), ...scalars(signature)];
}
