/** Domain-separated hashing: every use names its purpose. */

import { type Bytes, concat, uint64, utf8 } from "../bytes.js";

export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** A label and parts, each with its length before it, so that no two part lists collide. */
function feed(label: string, parts: readonly Uint8Array[]): Bytes {
  return concat(...[utf8(label), ...parts].flatMap((part) => [uint64(part.length), part]));
}

/** SHA-256 over a label and parts. */
export function labelledHash(label: string, parts: readonly Uint8Array[]): Promise<Bytes> {
  return sha256(feed(label, parts));
}

/** HKDF-SHA256 (RFC 5869). */
export async function hkdf(key: Bytes, salt: Bytes, info: Bytes, length: number): Promise<Bytes> {
  const imported = await crypto.subtle.importKey("raw", key, "HKDF", false, ["deriveBits"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt, info };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, imported, 8 * length));
}
