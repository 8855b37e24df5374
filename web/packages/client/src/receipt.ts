/** Receipts: signed checkpoints a device has seen. They only ever grow. */

import { type Bytes, equal } from "./bytes.js";
import { PinsealError } from "./errors.js";
import type { PinnedDeployment, Profile, Receipt } from "./profile/profile.js";
import { verifyCheckpoint } from "./protocol/checkpoint.js";

/**
 * A checkpoint is not believed: the deployment's state is not what this device has seen before, and no PIN is given to it.
 * `receipt_invalid`: not signed by this deployment; `receipt_rolled_back`: older than what this device holds; `receipt_forked`: as
 * long, with other contents.
 */
export class ReceiptError extends PinsealError {
  constructor(code: "receipt_invalid" | "receipt_rolled_back" | "receipt_forked", message: string) {
    super(code, message);
  }
}

function rolledBack(held: bigint, shown: bigint): ReceiptError {
  const text = `the deployment's state was rolled back: it shows ${shown} log entries, this device has seen ${held}`;
  return new ReceiptError("receipt_rolled_back", text);
}

function forked(size: bigint): ReceiptError {
  return new ReceiptError("receipt_forked", `the deployment shows two different histories of ${size} log entries`);
}

/** Reads a note under the pinned log key. */
export async function readReceipt(
  note: Bytes,
  manifest: Bytes,
  { deployment, log }: PinnedDeployment,
): Promise<Receipt> {
  const checkpoint = await verifyCheckpoint(note, deployment, log);
  if (checkpoint === undefined)
    throw new ReceiptError("receipt_invalid", "the receipt is not signed by this deployment");
  return { note, size: checkpoint.size, root: checkpoint.root, manifest };
}

/** Checks that `shown` continues `held`. */
export function checkContinues(held: Receipt | undefined, shown: Receipt): void {
  if (held === undefined) return;
  if (shown.size < held.size) throw rolledBack(held.size, shown.size);
  if (shown.size === held.size && !equal(shown.root, held.root)) throw forked(held.size);
}

/**
 * Checks the checkpoint of a boot. Each boot adds an entry, so a boot this device has no receipt of must show more entries than any
 * receipt of another boot.
 */
export function checkBoot(held: Receipt | undefined, boot: Receipt): void {
  if (held === undefined || equal(held.manifest, boot.manifest)) return;
  if (boot.size <= held.size) throw rolledBack(held.size, boot.size);
}

/** Keeps the newer of `receipt` and the stored one. Requests under way at once may end in another order than their receipts. */
export function keepReceipt(profile: Profile, receipt: Receipt): Profile {
  const held = profile.receipt;
  if (held !== undefined && held.size === receipt.size && !equal(held.root, receipt.root)) throw forked(held.size);
  return held !== undefined && held.size > receipt.size ? profile : { ...profile, receipt };
}
