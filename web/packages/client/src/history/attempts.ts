/** Two writes make one attempt: the charge, and what came of it. */

import { type Bytes, equal } from "../bytes.js";
import type { Detail, LoggedWrite } from "../protocol/history.js";
import type { Method } from "../protocol/method.js";
import { contradiction } from "./error.js";

/**
 * What came of an attempt. `prepared`: a wallet was prepared, no PIN was tested; `right`, `wrong`: the PIN was; `fault`: the enclave could
 * not decide, the try stayed charged; `unanswered`: a try was charged and no verdict ever left; `accepted`: a restore by the operators
 * was accepted, no PIN was tested.
 */
export type AttemptResult = "prepared" | "right" | "wrong" | "fault" | "unanswered" | "accepted";

/** One attempt on the wallet's key, or a preparation. */
export interface Attempt {
  /** Place in the log of its first write. */
  readonly index: number;
  /** Version that its first write made. */
  readonly version: bigint;
  /** When it began, in Unix seconds by the host's clock. */
  readonly time: bigint;
  /** Thumbprint of the device that asked. */
  readonly device: Bytes;
  readonly method: Method;
  readonly result: AttemptResult;
}

/** A write that is in the log, and what it says. */
export interface Opened {
  readonly write: LoggedWrite;
  readonly detail: Detail;
}

const ALONE: Partial<Record<Detail["step"], AttemptResult>> = {
  prepared: "prepared",
  charged: "unanswered",
  accepted: "accepted",
};

/**
 * The attempts of consecutive writes, newest first as they are. If the oldest is not the wallet's first write, a verdict there has its
 * charge beyond what was asked for, and is left out. Throws {@link HistoryError}.
 */
export function merge(writes: readonly Opened[], isFromTheStart: boolean): Attempt[] {
  const attempts: Attempt[] = [];
  for (let at = 0; at < writes.length; at += 1) {
    const write = writes[at] as Opened;
    const { step } = write.detail;
    const alone = ALONE[step];
    if (alone !== undefined) {
      attempts.push(attempt(write, alone));
      continue;
    }
    at += 1;
    const charge = writes[at];
    if (charge === undefined && !isFromTheStart) break;
    if (charge === undefined || !isChargeOf(charge.detail, write.detail)) throw contradiction(write.write.version);
    attempts.push(attempt(charge, step as AttemptResult));
  }
  return attempts;
}

function isChargeOf(charged: Detail, verdict: Detail): boolean {
  return charged.step === "charged" && charged.method === verdict.method && equal(charged.device, verdict.device);
}

function attempt({ write, detail }: Opened, result: AttemptResult): Attempt {
  const { time, device, method } = detail;
  return { index: Number(write.index), version: write.version, time, device, method, result };
}
