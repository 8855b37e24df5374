/** The answer to `begin`, signed by the boot key. */

import { type Bytes, concat, equal, utf8 } from "../bytes.js";
import { bool, bytes, decode, optional, struct, u64, type Value } from "../cbor/codec.js";
import { verifyEd25519 } from "../crypto/ed25519.js";
import { PinsealError } from "../errors.js";
import { deviceId, hash32, walletId } from "./ids.js";
import { type Method, method } from "./method.js";
import { isAcceptable, pinParameters } from "./pin.js";
import { type Next, walletState } from "./reply.js";

export const beginReply = struct({
  /** H(manifest) of the boot that answers. */
  manifest: hash32,
  wallet: walletId,
  device: deviceId,
  method,
  /** Goes back in the sealed request. Opaque, but for {@link challengeVersion}. */
  challenge: bytes,
  state: walletState,
  enrolled: bool,
  /** Parameters of the PIN in force. */
  current: optional(pinParameters),
  /** Parameters of the PIN that waits for confirmation. */
  pending: optional(pinParameters),
  /** Parameters for a PIN set in this operation. */
  next: pinParameters,
  /** The enclave's (host-told) time in Unix seconds. */
  time: u64,
});
export type BeginReply = Value<typeof beginReply>;

export const signedBeginReply = struct({ reply: bytes, signature: bytes });
export type SignedBeginReply = Value<typeof signedBeginReply>;

/** A begin reply is not believed; no PIN factor is computed from it. */
export class BeginError extends PinsealError {
  constructor(
    code: "begin_signature" | "begin_other_boot" | "begin_other_request" | "begin_parameters",
    message: string,
  ) {
    super(code, message);
  }

  override get wantsNewEvidence(): boolean {
    return this.code === "begin_signature" || this.code === "begin_other_boot";
  }

  override get isRetryable(): boolean {
    return this.wantsNewEvidence;
  }
}

const CONTEXT = utf8("pinseal begin v1\0");

/** The reply, if the attested boot signed it for this boot, device and method; throws {@link BeginError}. */
export async function verifyBegin(
  signed: SignedBeginReply,
  boot: Bytes,
  expected: { manifest: Bytes; device: Bytes; method: Method },
): Promise<BeginReply> {
  if (!(await verifyEd25519(boot, concat(CONTEXT, signed.reply), signed.signature))) {
    throw new BeginError("begin_signature", "the begin reply is not signed by the attested enclave");
  }
  const reply = decode(beginReply, signed.reply);
  if (!equal(reply.manifest, expected.manifest)) {
    throw new BeginError("begin_other_boot", "the begin reply is of another boot");
  }
  if (!equal(reply.device, expected.device) || reply.method !== expected.method) {
    throw new BeginError("begin_other_request", "the begin reply is for another device or operation");
  }
  return checkParameters(reply);
}

/** The begin reply that a {@link Next} stands for, `of` being the one of the request whose reply carried it. */
export function beginOfNext(next: Next, of: BeginReply, time: bigint): BeginReply {
  const { manifest, wallet, device, method } = of;
  return checkParameters({ manifest, wallet, device, method, ...next, time });
}

/** No PIN factor is computed below the floor or beyond the ceiling, whoever asks. */
function checkParameters(reply: BeginReply): BeginReply {
  for (const parameters of [reply.current, reply.pending, reply.next]) {
    if (parameters !== undefined && !isAcceptable(parameters.argon2)) {
      throw new BeginError("begin_parameters", "the begin reply asks for unacceptable Argon2 parameters");
    }
  }
  return reply;
}

/** Counter, expiry, version, 8 bytes each and big-endian, and 32 bytes of MAC. */
const CHALLENGE_BYTES = 56;

/** The version of the record that a challenge is bound to: at most one request is decided for each. */
export function challengeVersion(challenge: Bytes): bigint | undefined {
  if (challenge.length !== CHALLENGE_BYTES) return undefined;
  return new DataView(challenge.buffer, challenge.byteOffset).getBigUint64(16);
}
