/** The device key: P-256, made here, not extractable, bound to the session and enrolled in the wallet. */

import { type Bytes, toBase64Url, utf8 } from "../bytes.js";
import { sha256 } from "../crypto/kdf.js";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };

/** As it is kept. IndexedDB stores a `CryptoKey` without ever showing its bytes to a script. */
export interface DeviceKey {
  readonly privateKey: CryptoKey;
  /** Uncompressed SEC 1 point. */
  readonly publicKey: Bytes;
}

export async function generateDeviceKey(): Promise<DeviceKey> {
  const pair = await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
  return {
    privateKey: pair.privateKey,
    publicKey: new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)),
  };
}

/** ES256: r || s over SHA-256 of the message. */
export async function signEs256({ privateKey }: DeviceKey, message: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, message));
}

/** The public key as a JWK (RFC 7517), its members in the order of RFC 7638. */
export function publicJwk({ publicKey }: DeviceKey): { crv: "P-256"; kty: "EC"; x: string; y: string } {
  const [x, y] = [publicKey.subarray(1, 33), publicKey.subarray(33)];
  return { crv: "P-256", kty: "EC", x: toBase64Url(x), y: toBase64Url(y) };
}

/** RFC 7638 thumbprint; names the device. */
export function thumbprint(key: DeviceKey): Promise<Bytes> {
  return sha256(utf8(JSON.stringify(publicJwk(key))));
}
