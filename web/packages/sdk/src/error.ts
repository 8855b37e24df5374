/** What the SDK refuses itself; everything else is a `BridgeError` or a `WalletError` of `@pinseal/core`. */

export type SdkErrorCode =
  /** `init()` was not called, has not finished, or `finalize()` came after it. */
  | "not_initialized"
  /** The name is neither a CAIP-2 id nor one of the names that integrators know. */
  | "network_unknown";

/** Programs decide by `code`, never by the message. */
export class SdkError extends Error {
  readonly code: SdkErrorCode;

  constructor(code: SdkErrorCode, message: string) {
    super(message);
    this.name = "SdkError";
    this.code = code;
  }
}
