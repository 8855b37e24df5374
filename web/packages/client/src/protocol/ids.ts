/** Ids, hashes and keys by their lengths. */

import { fixed } from "../cbor/codec.js";

/** One installation of Pinseal. */
export const deploymentId = fixed(16);
/** `uid_h`: names a wallet towards host and log. */
export const walletId = fixed(32);
/** RFC 7638 SHA-256 thumbprint of a device's P-256 public key. */
export const deviceId = fixed(32);
/** Client-chosen random name of one sealed request. */
export const requestId = fixed(16);
/** A SHA-256 or Keccak-256 value. */
export const hash32 = fixed(32);
export const x25519Public = fixed(32);
export const ed25519Public = fixed(32);
/** An uncompressed SEC 1 P-256 point. */
export const p256Public = fixed(65);
export const evmAddress = fixed(20);
