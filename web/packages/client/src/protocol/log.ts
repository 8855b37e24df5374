/** Entries of the deployment's log, and the proof that one is in it (RFC 6962). */

import { type Bytes, concat, equal } from "../bytes.js";
import { bool, fixed, u32, u64, type Value, variant, variants } from "../cbor/codec.js";
import { sha256 } from "../crypto/kdf.js";
import { parent } from "./consistency.js";
import { version } from "./history.js";
import { hash32, walletId } from "./ids.js";
import { INCLUSION_HASHES_MAX } from "./limits.js";

/** One leaf; times in Unix seconds by the host's clock. */
export const entry = variants({
  /** A wallet's record was written. */
  record: variant(0, { wallet: walletId, version, outer: hash32, detail: fixed(96) }),
  /** The enclave started; `keys` is {@link bootKeysHash}. */
  boot: variant(1, { nonce: fixed(32), keys: hash32, configuration: hash32, time: u64 }),
  /** The operators changed the sealed configuration, put an older state back, or resumed enrolment. */
  configured: variant(2, {
    term: hash32,
    configuration: hash32,
    previous: hash32,
    order: hash32,
    time: u64,
    restores: u32,
    resumed: bool,
  }),
  /** Enrolment was paused: too many wrong PINs came from devices that are not enrolled. */
  tripped: variant(3, { time: u64 }),
  /** Somebody read, and nobody wrote meanwhile. */
  read: variant(4, { nonce: fixed(32) }),
});
export type Entry = Value<typeof entry>;

/** The fields every proof is checked against. */
export interface Tree {
  readonly size: bigint;
  readonly root: Bytes;
}

/** True if `path` proves that the encoded entry is the leaf at `index` of the tree (RFC 9162, section 2.1.3.2). */
export async function isIncluded(
  encoded: Uint8Array,
  index: bigint,
  tree: Tree,
  path: readonly Bytes[],
): Promise<boolean> {
  if (index < 0n || index >= tree.size || path.length > INCLUSION_HASHES_MAX) return false;
  let [fn, sn] = [index, tree.size - 1n];
  let hash = await sha256(concat(Uint8Array.of(0), encoded));
  for (const sibling of path) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      hash = await parent(sibling, hash);
      for (; !(fn & 1n) && fn !== 0n; fn >>= 1n) sn >>= 1n;
    } else {
      hash = await parent(hash, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && equal(hash, tree.root);
}
