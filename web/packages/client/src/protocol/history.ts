/** What a user can read of the writes to their wallet: the messages that open log entries. */

import { type Codec, fixed, list, names, struct, u64, type Value, variant, variants } from "../cbor/codec.js";
import { deviceId, hash32 } from "./ids.js";
import { method } from "./method.js";

/** Log entries opened in one request. */
export const LOGGED_WRITES_MAX = 32;

const eightBytes = fixed(8);

/** Version of a wallet's record: eight bytes, so that no length tells how often a wallet was used. */
export const version: Codec<bigint> = {
  write(writer, value) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value);
    eightBytes.write(writer, bytes);
  },
  read: (reader) => new DataView(eightBytes.read(reader).buffer).getBigUint64(0),
};

/**
 * One write, as its log entry has it: the entry's place, and its RFC 6962 inclusion proof in the log of the receipt that the request presents.
 * The enclave opens nothing that is not proved.
 */
export const loggedWrite = struct({ version, outer: hash32, detail: fixed(96), index: u64, path: list(hash32) });
export type LoggedWrite = Value<typeof loggedWrite>;

/** What one write says of the operation it belongs to. */
export const step = names({ prepared: 0, charged: 1, right: 2, wrong: 3, fault: 4, accepted: 5 });

/** The detail of one write; time in Unix seconds by the host's clock. */
export const detail = struct({ step, method, time: u64, device: deviceId });
export type Detail = Value<typeof detail>;

/** What became of one {@link LoggedWrite}. */
export const openedWrite = variants({
  opened: variant(0, { value: detail }),
  /** It is not in the log that was presented, not of this wallet, not of the write it was said to be of, or damaged. */
  notOpened: variant(1, {}),
});

/** Answer to `open_history`: the wallet's newest version, and one entry for each that was asked for, in order. */
export const history = struct({ current: version, writes: list(openedWrite) });
export type History = Value<typeof history>;
