/** The wallet's end of the bridge. Importing it touches nothing. */

export { type WalletCode, WalletError } from "../errors.js";
export { READS } from "../reads.js";
export type { Json } from "../schema.js";
export type { Account, EventData, EventName, Method, Params, Result, Session, Transaction } from "../vocabulary.js";
export { type App, WalletEnd, type WalletOptions } from "./end.js";
