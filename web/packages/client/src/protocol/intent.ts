/** What a user approves, and what it becomes. */

import { bytes, u32, u64, type Value, variant, variants } from "../cbor/codec.js";
import { evmAddress, hash32 } from "./ids.js";
import { ACCOUNT_INDEX_END } from "./limits.js";

/** One thing to sign. Accounts are n of m/44'/60'/0'/0/n, chains EIP-155 ids. */
export const intent = variants({
  /** The unsigned payload whose Keccak-256 is signed: legacy with EIP-155, EIP-2930, EIP-1559 or EIP-7702. */
  evmTransaction: variant(0, { account: u32, chain: u64, unsigned: bytes }),
  /** EIP-7702. */
  evmAuthorization: variant(1, { account: u32, chain: u64, address: evmAddress, nonce: u64 }),
  /** EIP-191, version 0x45; the message without its prefix. */
  evmPersonalMessage: variant(2, { account: u32, message: bytes }),
  /** EIP-712 version 4 in the canonical form. */
  evmTypedData: variant(3, { account: u32, chain: u64, typedData: bytes }),
});
/** What the user approves, and what is sealed with their PIN. */
export type Intent = Value<typeof intent>;

/** What one approved intent became. */
export const signed = variants({
  /** Ready to broadcast, and its Keccak-256. */
  evmTransaction: variant(0, { raw: bytes, hash: hash32 }),
  /** r, s, v (65 bytes; v is 27 or 28). */
  evmSignature: variant(1, { signature: bytes }),
  /** The tuple `[chain_id, address, nonce, y_parity, r, s]` in RLP. */
  evmAuthorization: variant(2, { tuple: bytes }),
});
/** What one approved intent became. */
export type Signed = Value<typeof signed>;

export function isAccountIndex(index: number): boolean {
  return Number.isInteger(index) && index >= 0 && index < ACCOUNT_INDEX_END;
}

/** The BIP-44 path of an account. */
export function accountPath(index: number): string {
  return `m/44'/60'/0'/0/${index}`;
}
