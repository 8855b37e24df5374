/** The sealed request: header in clear, body and device signature inside. */

import { fromUtf8, utf8 } from "../bytes.js";
import {
  bytes,
  fixed,
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
import { LOGGED_WRITES_MAX, loggedWrite } from "./history.js";
import { deviceId, hash32, p256Public, requestId, x25519Public } from "./ids.js";
import { intent, isAccountIndex } from "./intent.js";
import { ACCOUNTS_MAX, INCLUSION_HASHES_MAX, INTENTS_MAX, LABEL_BYTES_MAX } from "./limits.js";
import { method } from "./method.js";

/** The only format this version writes. */
export const REQUEST_VERSION = 1;

/** DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode. */
export const suite = names({ x25519_aes256gcm: 1 });

/** Associated data of a sealed request. */
export const requestHeader = struct({
  version: u8,
  suite,
  manifest: hash32,
  method,
  request: requestId,
  challenge: bytes,
  /** H(access token). */
  token: hash32,
  device: deviceId,
  /** Size of the newest checkpoint this device holds, 0 for none. */
  receiptSize: u64,
});
export type RequestHeader = Value<typeof requestHeader>;

/** S, the output of Argon2id. */
const pin = fixed(32);

/** What is asked. */
export const request = variants({
  register_prepare: variant(0, { pin, words: u8, label: text }),
  register_confirm: variant(1, { pin }),
  verify_pin: variant(2, { pin }),
  sign: variant(3, { pin, intents: list(intent) }),
  change_pin_prepare: variant(4, { pin, newPin: pin }),
  change_pin_confirm: variant(5, { pin }),
  enrol_device: variant(6, { pin, label: text }),
  revoke_device: variant(7, { pin, device: deviceId }),
  clear_tries: variant(8, { pin }),
  status: variant(9, {}),
  list_accounts: variant(10, { accounts: list(u32) }),
  open_history: variant(11, { writes: list(loggedWrite) }),
  accept_restore: variant(12, { restores: u32 }),
});
export type Request = Value<typeof request>;

/** Plaintext of a sealed request, without the device signature. */
export const body = struct({ accessToken: text, deviceKey: p256Public, receipt: optional(bytes), request });
export type Body = Value<typeof body>;

/** The encoded body and the device's signature over the transcript. */
export const plaintext = struct({ body: bytes, signature: bytes });

/** A sealed request as it travels. */
export const sealedRequest = struct({ header: requestHeader, enc: x25519Public, ciphertext: bytes });
export type SealedRequest = Value<typeof sealedRequest>;

/** True if every count and length is within its bound. */
export function isWithinBounds(asked: Request): boolean {
  switch (asked.kind) {
    case "register_prepare":
      return (asked.words === 12 || asked.words === 24) && isLabel(asked.label);
    case "enrol_device":
      return isLabel(asked.label);
    case "sign":
      return isCount(asked.intents, INTENTS_MAX) && asked.intents.every(({ account }) => isAccountIndex(account));
    case "list_accounts":
      return isCount(asked.accounts, ACCOUNTS_MAX) && asked.accounts.every(isAccountIndex);
    case "open_history":
      return (
        asked.writes.length <= LOGGED_WRITES_MAX &&
        asked.writes.every(({ path }) => path.length <= INCLUSION_HASHES_MAX)
      );
    default:
      return true;
  }
}

/** A device label: 1 to 32 bytes of UTF-8 without control characters. */
export function isLabel(label: string): boolean {
  const length = utf8(label).length;
  return length >= 1 && length <= LABEL_BYTES_MAX && fromUtf8(utf8(label)) === label && !/\p{Cc}/u.test(label);
}

function isCount(items: readonly unknown[], most: number): boolean {
  return items.length >= 1 && items.length <= most;
}
