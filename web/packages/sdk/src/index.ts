/** The wallet as a widget. Importing it touches nothing. */

export { type Account, BridgeError, frame, popup, type RequestOptions, type User, WalletError } from "@pinseal/core";
export { SdkError, type SdkErrorCode } from "./error.js";
export type { SdkEvents } from "./events.js";
export { PinsealSDK, type SdkOptions, type Send, type Status } from "./sdk.js";
