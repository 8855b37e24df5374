/** Reads the proved history, page by page, and remembers a host whose history does not hold. */

import { type Attested, type Client, type History, HistoryError, RefusedError } from "@pinseal/client";
import { doubtOf, raiseDoubt, settleDoubt } from "./doubt.ts";

/** Attempts of one page. */
export const ATTEMPTS_PAGE = 10;

/** Refusals inside a sealed reply that say that this device has no history to ask for. */
const WITHOUT_HISTORY: ReadonlySet<string> = new Set(["device_not_enrolled", "wallet_missing"]);

/** The newest `attemptsMax` attempts, on evidence of this moment. */
export async function readAttempts(client: Client, attemptsMax: number): Promise<History> {
  const user = (await client.profile()).session?.user;
  return readProved(await client.attest(user), user ?? "", attemptsMax);
}

/** Before a PIN is asked for: where the host is in doubt, it shows now what it owes, or this throws. */
export async function clearDoubt(attested: Attested, user: string): Promise<void> {
  const attempts = doubtOf(user);
  if (attempts === undefined) return;
  try {
    await readProved(attested, user, attempts);
  } catch (error) {
    // Said by the enclave. A device that was revoked enrols again, and asks then.
    if (!(error instanceof RefusedError) || !WITHOUT_HISTORY.has(error.code)) throw error;
  }
}

/**
 * The newest `attemptsMax` attempts, proved anew. A {@link HistoryError} puts the host in doubt: no PIN of this user's is asked for until it has
 * shown as many attempts that hold.
 */
async function readProved(attested: Attested, user: string, attemptsMax: number): Promise<History> {
  try {
    const history = await attested.history(attemptsMax);
    settleDoubt(user, history.isComplete ? Number.POSITIVE_INFINITY : attemptsMax);
    return history;
  } catch (error) {
    if (error instanceof HistoryError) raiseDoubt(user, attemptsMax);
    throw error;
  }
}
