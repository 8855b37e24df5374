/** Receipts: signed checkpoints a device has seen. They only ever grow. */

import { type Bytes, equal } from "./bytes.js";
import { PinsealError } from "./errors.js";
import type { PinnedDeployment, Profile, Receipt } from "./profile/profile.js";
import { restoresIn, verifyCheckpoint } from "./protocol/checkpoint.js";

/**
 * A checkpoint is not believed: the deployment's state is not what this device has seen before, and no PIN is given to it.
 * `receipt_invalid`: not signed by this deployment; `receipt_rolled_back`: older than what this device holds; `receipt_forked`: as
 * long, with other contents; `receipt_restore_forgotten`: from before a restore that this device has accepted; `receipt_restored`: the
 * operators put an older state back, and this device has not accepted that ({@link Attested.acceptRestore}).
 */
export class ReceiptError extends PinsealError {
  constructor(
    code:
      | "receipt_invalid"
      | "receipt_rolled_back"
      | "receipt_forked"
      | "receipt_restore_forgotten"
      | "receipt_restored",
    message: string,
  ) {
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

/** The operators put an older state back, and this device has not accepted that. */
export function restored(shown: number): ReceiptError {
  const text = `the operators put an older state back (restore ${shown}), and this device has not accepted that`;
  return new ReceiptError("receipt_restored", text);
}

/** True if `shown` is of a later restore than `held`; throws if it is of an earlier one. */
function isRestored(held: Receipt, shown: Receipt): boolean {
  const [before, now] = [restoresOf(held), restoresOf(shown)];
  if (now < before) {
    const text = `the deployment's state is from before restore ${before}, which this device has accepted; it shows restore ${now}`;
    throw new ReceiptError("receipt_restore_forgotten", text);
  }
  return now > before;
}

/** The restore that a receipt is of, 0 before the first. */
export function restoresOf({ note }: Receipt): number {
  return restoresIn(note);
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

/**
 * Checks that `shown` continues `held`. After a restore nothing does but an acceptance or, where `mayBeRestored`, what is told without
 * keeping it.
 */
export function checkContinues(held: Receipt | undefined, shown: Receipt, mayBeRestored = false): void {
  if (held === undefined) return;
  if (isRestored(held, shown)) {
    if (mayBeRestored) return;
    throw restored(restoresOf(shown));
  }
  if (shown.size < held.size) throw rolledBack(held.size, shown.size);
  if (shown.size === held.size && !equal(shown.root, held.root)) throw forked(held.size);
}

/**
 * Checks the checkpoint of a boot. Each boot adds an entry, so a boot this device has no receipt of must show more entries than any
 * receipt of another boot. Gives the restore's number if the boot is of one that this device has not accepted.
 */
export function checkBoot(held: Receipt | undefined, boot: Receipt): number | undefined {
  if (held === undefined) return undefined;
  if (isRestored(held, boot)) return restoresOf(boot);
  if (!equal(held.manifest, boot.manifest) && boot.size <= held.size) throw rolledBack(held.size, boot.size);
  return undefined;
}

/**
 * Puts `shown` in the place of the stored receipt if it is newer and the two are known to be of one history: the enclave compared `shown`
 * with `presented`, and one boot has one history. What another exchange has stored meanwhile may be of another branch. It stays, and the
 * next request presents it to the enclave, which then says so.
 */
export function keepReceipt(profile: Profile, shown: Receipt, presented: Receipt | undefined): Profile {
  const held = profile.receipt;
  if (held === undefined) return { ...profile, receipt: shown };
  const later = restoresOf(held) - restoresOf(shown);
  if (later === 0 && held.size === shown.size && !equal(held.root, shown.root)) throw forked(held.size);
  const isNewer = later < 0 || (later === 0 && held.size <= shown.size);
  const isPresented = presented !== undefined && equal(held.note, presented.note);
  const isCompared = isPresented || equal(held.manifest, shown.manifest);
  return isNewer && isCompared ? { ...profile, receipt: shown } : profile;
}

/** Puts the checkpoint of a restore that its owner has accepted in the place of what was seen before it. */
export function keepRestored(profile: Profile, boot: Receipt): Profile {
  const held = profile.receipt;
  return held === undefined || restoresOf(held) < restoresOf(boot) ? { ...profile, receipt: boot } : profile;
}
