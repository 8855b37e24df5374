/** What the enclave answers, inside the sealed reply. */

import {
  bool,
  bytes,
  list,
  names,
  optional,
  struct,
  text,
  u8,
  u32,
  u64,
  type Value,
  variant,
  variants,
} from "../cbor/codec.js";
import { history } from "./history.js";
import { deviceId, requestId } from "./ids.js";
import { signed } from "./intent.js";
import { pinParameters } from "./pin.js";
import { refusal } from "./refusal.js";
import { signedStatement } from "./statement.js";

export const walletState = names({ missing: 0, prepared: 1, active: 2 });
export type WalletState = Value<typeof walletState>;

export const tries = struct({
  /** Wrong PINs this caller may still give before its path closes. */
  left: u8,
  /** Wrong PINs left over the life of this PIN, for this caller. */
  lifeLeft: u8,
  /** Seconds until the next try. */
  delaySeconds: u32,
});
/**
 * How often this caller may still be wrong, and how soon.
 *
 * @interface
 */
export type Tries = Value<typeof tries>;

/** A device as its owner sees it. */
export const deviceInfo = struct({
  device: deviceId,
  label: text,
  /** Unix seconds. */
  enrolled: u64,
  /** Wrong PINs outstanding. */
  outstanding: u8,
});
/**
 * A device as its owner sees it.
 *
 * @interface
 */
export type DeviceInfo = Value<typeof deviceInfo>;

export const status = struct({
  state: walletState,
  /** Whether the asking device is enrolled. */
  enrolled: bool,
  /** A PIN change waits for confirmation. */
  changePending: bool,
  /** Enrolled devices; empty for an unenrolled one. */
  devices: list(deviceInfo),
  unenrolledOutstanding: u8,
  outstanding: u8,
});
/**
 * The wallet as the enclave tells the device that asks.
 *
 * @interface
 */
export type Status = Value<typeof status>;

/** Of a variant with one unnamed field. */
const one = <T>(value: T) => ({ value });

/** What came of a request. A wrong PIN, a refusal and a service fault are three different things. */
export const outcome = variants({
  refused: variant(0, one(refusal)),
  wrongPin: variant(1, {}),
  prepared: variant(2, {}),
  registered: variant(3, one(signedStatement)),
  pinVerified: variant(4, {}),
  signed: variant(5, one(list(signed))),
  pinChanged: variant(6, {}),
  deviceEnrolled: variant(7, {}),
  deviceRevoked: variant(8, {}),
  triesCleared: variant(9, {}),
  status: variant(10, one(status)),
  accounts: variant(11, one(list(signedStatement))),
  /** The enclave failed after the charge; the try stays charged. */
  serviceFault: variant(12, {}),
  history: variant(13, one(history)),
  /** This device has one try. */
  restoreAccepted: variant(14, {}),
});
export type Outcome = Value<typeof outcome>;

/** What a further request of the same device and method is sealed under, without another `begin`. */
export const next = struct({
  challenge: bytes,
  state: walletState,
  enrolled: bool,
  current: optional(pinParameters),
  pending: optional(pinParameters),
  next: pinParameters,
});
export type Next = Value<typeof next>;

/** Plaintext of a sealed reply, before padding. */
export const reply = struct({
  request: requestId,
  /** The enclave's (host-told) time in Unix seconds. */
  time: u64,
  /** Absent where there is no wallet. */
  tries: optional(tries),
  /** The newest anchored signed checkpoint. */
  receipt: bytes,
  outcome,
  next: optional(next),
});
export type Reply = Value<typeof reply>;

/** A sealed reply as it travels. */
export const sealedReply = struct({ request: requestId, ciphertext: bytes });
export type SealedReply = Value<typeof sealedReply>;
