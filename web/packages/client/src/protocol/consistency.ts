/** Consistency proofs of the log (RFC 6962, section 2.1.2): one tree continues another. */

import { type Bytes, concat, equal } from "../bytes.js";
import { sha256 } from "../crypto/kdf.js";
import type { Tree } from "./log.js";

/** Hashes in a proof: 2 per level of a tree of 2^63 leaves. */
const PROOF_HASHES_MAX = 128;

/** True if `path` proves that `newer` begins with `older`, which is not empty: of an empty tree no proof shows anything. */
export async function isConsistent(older: Tree, newer: Tree, path: readonly Bytes[]): Promise<boolean> {
  if (path.length > PROOF_HASHES_MAX || older.size === 0n || older.size > newer.size) return false;
  if (older.size === newer.size) return path.length === 0 && equal(older.root, newer.root);
  // RFC 9162, section 2.1.4.2: a complete old tree is its own first node.
  const nodes = (older.size & (older.size - 1n)) === 0n ? [older.root, ...path] : [...path];
  const [first, ...rest] = nodes;
  if (first === undefined) return false;
  let [fn, sn] = [older.size - 1n, newer.size - 1n];
  for (; fn & 1n; fn >>= 1n) sn >>= 1n;
  let [old, whole] = [first, first];
  for (const node of rest) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      [old, whole] = [await parent(node, old), await parent(node, whole)];
      for (; !(fn & 1n) && fn !== 0n; fn >>= 1n) sn >>= 1n;
    } else {
      whole = await parent(whole, node);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && equal(old, older.root) && equal(whole, newer.root);
}

/** RFC 6962 interior node. */
export function parent(left: Bytes, right: Bytes): Promise<Bytes> {
  return sha256(concat(Uint8Array.of(1), left, right));
}
