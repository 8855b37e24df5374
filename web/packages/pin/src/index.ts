/** The wallet's PIN pad in an app's own page. Importing it touches nothing. */

export { BridgeError, frame, popup, WalletError } from "@pinseal/core";
export { definePin, type PinElementEvents, type PinsealPinElement } from "./element.js";
export { type Approvable, type PinOptions, PinsealPin } from "./pin.js";
