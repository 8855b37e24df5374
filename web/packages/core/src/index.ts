/** The app's end of the bridge to Pinseal's wallet page. Importing it touches nothing. */

export { Bridge, type BridgeOptions, type RequestOptions } from "./app/bridge.js";
export { frame, frameIn, type Opened, popup, type Transport } from "./app/transport.js";
export { type BridgeCode, BridgeError, type WalletCode, WalletError } from "./errors.js";
export { networkId } from "./networks.js";
export { READS } from "./reads.js";
export type { Check, Checked, Json } from "./schema.js";
export { type User, userOf } from "./user.js";
export type { Account, EventData, EventName, Method, Params, Result, Session, Transaction } from "./vocabulary.js";
