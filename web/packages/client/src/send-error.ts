import { PinsealError } from "./errors.js";
import type { Outgoing } from "./outgoing.js";

/** What every such error says, where nothing else is known. */
const MESSAGES: Readonly<Record<string, string>> = {
  payment_unsettled: "an earlier payment may still be carried out beside this one, or was",
  payments_unsettled_max: "too many payments are not settled; settle some, or look elsewhere and name them in `beside`",
};

/**
 * A transaction cannot be prepared or sent; the host never had it. `network_not_evm`; `transaction_unreasonable`: the host gave what no honest host
 * gives; `gas_too_high` and `fee_too_high`: beyond what the request allows; `nonce_taken`: another transaction has the nonce that was named, or
 * was signed with the same one meanwhile; `not_replaceable`: the one whose place it was to take is in a block; `payment_unsettled`: see
 * {@link SendError.unsettled}; `payments_unsettled_max`: as many transactions are kept as may be ({@link Client.outgoing}), and none of them can make room.
 */
export class SendError extends PinsealError {
  /**
   * With `payment_unsettled`: what was signed before and may be carried out beside this one, or was, while its owner may believe that it failed.
   * Whoever has looked elsewhere, and not only at this host, and means this one all the same, asks again and names them
   * ({@link TransactionRequest.beside}).
   */
  readonly unsettled: readonly Outgoing[];

  constructor(
    code:
      | "network_not_evm"
      | "transaction_unreasonable"
      | "gas_too_high"
      | "fee_too_high"
      | "nonce_taken"
      | "not_replaceable"
      | "payment_unsettled"
      | "payments_unsettled_max",
    message = MESSAGES[code] ?? code,
    unsettled: readonly Outgoing[] = [],
  ) {
    super(code, message);
    this.unsettled = unsettled;
  }
}
