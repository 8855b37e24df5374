/**
 * Key-committing authenticated encryption for keys that are used once: HKDF-SHA256 turns (key, info) into an AES-256-GCM key and a
 * 32-byte commitment that is checked first. Every (key, info) pair seals one message, so the nonce is zero.
 */

import { type Bytes, equalConstantTime } from "../bytes.js";
import { hkdf } from "./kdf.js";

const COMMITMENT_BYTES = 32;
const TAG_BYTES = 16;

/** The plaintext, or `undefined` if key, info, associated data or bytes are not those that were sealed. */
export async function openCommitted(key: Bytes, info: Bytes, aad: Bytes, sealed: Bytes): Promise<Bytes | undefined> {
  if (sealed.length < COMMITMENT_BYTES + TAG_BYTES) return undefined;
  const derived = await hkdf(key, new Uint8Array(0), info, 64);
  try {
    if (!equalConstantTime(derived.subarray(32), sealed.subarray(0, COMMITMENT_BYTES))) return undefined;
    const aes = await crypto.subtle.importKey("raw", derived.subarray(0, 32), "AES-GCM", false, ["decrypt"]);
    const parameters = { name: "AES-GCM", iv: new Uint8Array(12), additionalData: aad };
    return new Uint8Array(await crypto.subtle.decrypt(parameters, aes, sealed.subarray(COMMITMENT_BYTES)));
  } catch {
    return undefined;
  } finally {
    derived.fill(0);
  }
}
