/** HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one message to a context. */

import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import type { Bytes } from "../bytes.js";

export interface Sender {
  /** What is sent beside the ciphertext. */
  readonly enc: Bytes;
  seal(aad: Bytes, plaintext: Bytes): Promise<Bytes>;
  /** The secret export interface (RFC 9180, section 5.3): 32 bytes under a label of their own. */
  export(label: Bytes): Promise<Bytes>;
}

/** SetupBaseS, its ephemeral key pair derived from `ephemeral` (32 fresh random bytes) by DeriveKeyPair. */
export async function setupSender(recipient: Bytes, info: Bytes, ephemeral: Bytes): Promise<Sender> {
  const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const recipientPublicKey = await suite.kem.deserializePublicKey(recipient);
  const context = await suite.createSenderContext({ recipientPublicKey, info, ekm: ephemeral.slice().buffer });
  return {
    enc: new Uint8Array(context.enc),
    seal: async (aad, plaintext) => new Uint8Array(await context.seal(plaintext, aad)),
    export: async (label) => new Uint8Array(await context.export(label, 32)),
  };
}
