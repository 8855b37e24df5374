/** What this package refuses itself; everything else is a `BridgeError` or a `WalletError` of `@pinseal/core`. */

export type LoginErrorCode =
  /** A password was given. It is typed in the wallet's page: an app that has it could log in as its user for ever. Nothing was sent. */
  "password_refused";

/** Programs decide by `code`, never by the message. */
export class LoginError extends Error {
  readonly code: LoginErrorCode;

  constructor(code: LoginErrorCode, message: string) {
    super(message);
    this.name = "LoginError";
    this.code = code;
  }
}
