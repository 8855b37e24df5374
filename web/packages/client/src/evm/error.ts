import { PinsealError } from "../errors.js";

/**
 * An intent cannot be signed by anybody: the app is at fault, and nothing was sent. `code` names what is wrong, like
 * `transaction_malformed` or `chain_mismatch`.
 */
export class IntentError extends PinsealError {
  constructor(code: string, message = code.replaceAll("_", " ")) {
    super(code, message);
  }
}
