/** What one boot of the enclave commits to. */

import type { Bytes } from "../bytes.js";
import { bytes, list, names, optional, struct, text, u8, u16, u32, type Value } from "../cbor/codec.js";
import { labelledHash } from "../crypto/kdf.js";
import { deploymentId, ed25519Public, hash32, p256Public, x25519Public } from "./ids.js";

/** The only format this version reads. */
export const MANIFEST_VERSION = 1;

/** Where freshness is kept: see docs/THREAT-MODEL.md. */
export const anchorLevel = names({ L0: 0, L1: 1, L2: 2, L4: 4 });
export type AnchorLevel = Value<typeof anchorLevel>;

export const quorum = struct({ required: u8, witnesses: list(struct({ name: text, key: ed25519Public })) });
export type Quorum = Value<typeof quorum>;

/** The TPM of a deployment at L2: the P-256 key that it attests with, an uncompressed point, and the handle of its index. */
export const tpm = struct({ attester: p256Public, index: u32 });
export type Tpm = Value<typeof tpm>;

export const manifest = struct({
  version: u16,
  deployment: deploymentId,
  /** Receives sealed requests; its private half dies with the boot. */
  hpke: x25519Public,
  /** Signs begin replies; dies with the boot. */
  boot: ed25519Public,
  /** K_log: signs checkpoints and address statements; lives as long as the deployment. */
  log: ed25519Public,
  configuration: hash32,
  anchor: anchorLevel,
  floor: anchorLevel,
  /** The signed checkpoint that holds this boot's BOOT entry. */
  checkpoint: bytes,
  witnesses: optional(quorum),
  tpm: optional(tpm),
});
/**
 * What a boot of the enclave commits to; its hash is what the evidence vouches for.
 *
 * @interface
 */
export type Manifest = Value<typeof manifest>;

/** H(boot keys): what a BOOT entry of the log names its boot by. */
export function bootKeysHash({ hpke, boot }: Manifest): Promise<Bytes> {
  return labelledHash("pinseal boot keys v1", [hpke, boot]);
}

/** H(manifest) of an encoded manifest: `user_data` of the evidence, `info` of the envelope. */
export function manifestHash(encoded: Uint8Array): Promise<Bytes> {
  return labelledHash("pinseal manifest v1", [encoded]);
}
