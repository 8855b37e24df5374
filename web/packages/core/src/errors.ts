/** What can go wrong between an app's page and the wallet's page. */

/**
 * Codes made by the bridge itself. Codes of the wallet, the server and the enclave (docs/errors.md) pass through as they
 * are, in a `WalletError`.
 */
export type BridgeCode =
  /** The user closed the wallet. What it was asked is taken back: no transaction of it was handed over. */
  | "closed_by_user"
  /** The app cancelled the request by its signal. A transaction whose approval was given before may still be mined. */
  | "cancelled"
  /** `finalize()` was called. */
  | "finalized"
  /**
   * The wallet's frame, window or port is gone. The outcome of a request under way is unknown: also where the user closed the window, unless the wallet
   * said in time that nothing was handed over.
   */
  | "connection_lost"
  /**
   * What was loaded into the wallet's frame is not the wallet's page: it is served for the origins that are registered with the app and framed by
   * no other, this page's own policy allows no such frame, or nothing answers at the wallet's address. A browser does not tell which.
   */
  | "frame_refused"
  /** The wallet's page did not open, or did not answer a request that needs no person, in time. */
  | "timed_out"
  /** The browser blocked the wallet's window. */
  | "popup_blocked"
  /** The wallet's window is not open, and this request needs no person: only one in the handler of a click may open it. */
  | "not_open"
  /** The app's own page is served with `Cross-Origin-Opener-Policy: same-origin`. */
  | "opener_severed"
  /** The wallet does not know this app at this origin. */
  | "origin_not_allowed"
  /** There is no page to open a wallet from: a server or a worker. */
  | "no_page"
  /** The call's own arguments are not what the table of requests says. Nothing was sent. */
  | "bad_request"
  /** The other end sent what the table of messages does not know. The connection is closed. */
  | "bad_message"
  /** More requests at once than one connection takes. */
  | "too_many_requests";

/** The bridge failed. Programs decide by `code`, never by the message. */
export class BridgeError extends Error {
  readonly code: BridgeCode;
  /** True if the same call may succeed later without anybody changing anything. */
  readonly isRetryable: boolean;

  constructor(code: BridgeCode, message: string, isRetryable = false) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.isRetryable = isRetryable;
  }
}

/**
 * Codes that a wallet's page makes itself, beside those of docs/errors.md.
 */
export type WalletCode =
  /** The user said no. */
  | "declined"
  /** Nobody is logged in at the wallet, or has no wallet yet: ask for `login`. */
  | "login_required"
  /** The user has not let this app see the wallet: ask for `login`. */
  | "consent_required"
  /** The wallet does not know this network. */
  | "network_unknown"
  /** The address is not one of the user's accounts on this network. */
  | "account_unknown"
  /** The wallet does not know the request, or not in this version; of `evm.rpc`: it does not pass this method on. */
  | "unsupported_method"
  | "unsupported_version"
  /** The request's parameters do not fit together. */
  | "bad_request"
  /** The network's node answered with an error of its own, which the message tells. */
  | "node_refused"
  /** The answer is larger than one message. */
  | "result_too_large"
  | "too_many_requests"
  /** The wallet failed; nothing more is told. */
  | "internal_error";

/** The wallet answered, and the answer is no. `code` is the wallet's, the server's or the enclave's. */
export class WalletError extends Error {
  readonly code: string;
  readonly isRetryable: boolean;
  /**
   * In hex: of `node_refused` what a reverted call returned; of `broadcast_refused` and `outcome_unknown` the hash of the transaction, which may be
   * mined.
   */
  readonly data: string | undefined;

  constructor(code: WalletCode | (string & {}), message: string, isRetryable = false, data?: string) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.isRetryable = isRetryable;
    this.data = data;
  }
}
