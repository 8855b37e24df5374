/** Login at the wallet, for apps with a UI of their own. Importing it touches nothing. */

export { BridgeError, frame, popup, type User, WalletError } from "@pinseal/core";
export { LoginError, type LoginErrorCode } from "./error.js";
export { type LoginEvents, type LoginOptions, type LoginStatus, PinsealLogin } from "./login.js";
