import type { ApiError } from "../api/error.js";
import { PinsealError } from "../errors.js";
import { isRetryable, type Refusal } from "../protocol/refusal.js";
import type { Tries } from "../protocol/reply.js";

/** What came of an operation that did not succeed. Only {@link WrongPinError} says that a PIN was wrong. */
export abstract class OperationError extends PinsealError {}

/** The PIN is wrong; the try is gone. Said by the enclave, inside the sealed reply. */
export class WrongPinError extends OperationError {
  readonly tries: Tries;

  constructor(tries: Tries) {
    super("wrong_pin", "wrong PIN");
    this.tries = tries;
  }
}

/** What a person is told where the code alone says too little. */
const SAID: Partial<Record<Refusal, string>> = {
  enrolment_paused:
    "enrolment is paused for everybody, because too many wrong PINs came from devices that are not enrolled; the operators have to resume it",
};

/** The enclave refused before any try was charged. `code` is the refusal's. */
export class RefusedError extends OperationError {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, message = SAID[refusal] ?? `refused: ${refusal}`) {
    super(refusal, message);
    this.refusal = refusal;
  }

  override get isRetryable(): boolean {
    return isRetryable(this.refusal);
  }

  override get wantsNewEvidence(): boolean {
    return this.refusal === "evidence_outdated";
  }
}

/**
 * No try is left on this path. `pin_locked`: this device, or all unenrolled ones; `wallet_locked`: the whole wallet, from here;
 * `pin_spent`: this PIN for this device, for good.
 */
export class LockedError extends RefusedError {
  readonly tries: Tries;

  constructor(refusal: "pin_locked" | "wallet_locked" | "pin_spent", tries: Tries) {
    super(refusal);
    this.tries = tries;
  }
}

/** Too soon after wrong PINs; nothing was charged. `tries.delaySeconds` says how long to wait. */
export class DelayedError extends RefusedError {
  readonly tries: Tries;

  constructor(tries: Tries) {
    super("pin_delayed", `too soon after wrong PINs; wait ${tries.delaySeconds} seconds`);
    this.tries = tries;
  }
}

/** The enclave failed after the charge. A fault of the service, no verdict on the PIN; the try stays charged. */
export class ServiceFaultError extends OperationError {
  readonly tries: Tries;

  constructor(tries: Tries) {
    super("service_fault", "the service failed after the try was counted; the PIN was not judged");
    this.tries = tries;
  }

  override get isRetryable(): boolean {
    return true;
  }
}

/** The request was sent, also again, and no reply came. It may have been carried out and a try may have been charged. */
export class ReplyLostError extends OperationError {
  /** What the host said last. */
  readonly said: ApiError;

  constructor(said: ApiError) {
    super("reply_lost", "no reply came; the outcome is unknown", { cause: said });
    this.said = said;
  }
}

/** Codes of failures that are nobody's verdict. */
export type Fault =
  /** The enclave does not understand this client, or the request was damaged on its way. If it stays, update the client. */
  | "client_outdated"
  /** The enclave itself found that its state does not continue what this device has seen. No PIN was tested. */
  | "state_rolled_back"
  /** What came back is no begin reply or sealed reply at all. */
  | "reply_malformed"
  /** The enclave answers for another wallet than this user had on this device before; no PIN factor was computed. */
  | "wallet_changed"
  /** The PIN factor cannot be computed here: too little memory. */
  | "pin_factor"
  /** A label, number of words, of intents or of accounts is out of bounds. Nothing was sent. */
  | "out_of_bounds"
  /** The outcome does not belong to the operation. */
  | "unexpected";

export class FaultError extends OperationError {
  declare readonly code: Fault;

  constructor(code: Fault, cause?: unknown) {
    super(code, code.replaceAll("_", " "), cause === undefined ? undefined : { cause });
  }
}
