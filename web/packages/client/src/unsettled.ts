/** What was signed before, when the next transaction is prepared and when it is sent. */

import { ApiError } from "./api/error.js";
import { askTransaction, askTransactions, TRANSACTION_UNKNOWN } from "./api/transactions.js";
import { type Bytes, toHex } from "./bytes.js";
import type { Client } from "./client.js";
import { checksum } from "./evm/address.js";
import { encodeUnsigned, parseSigned, type Transaction } from "./evm/transaction.js";
import type { Ledger, Told } from "./ledger.js";
import { doesTheSame, judge, keep, type Next, type Outgoing, ofAccount, withRoom } from "./outgoing.js";
import type { PreparedTransaction } from "./send.js";
import { SendError } from "./send-error.js";

/** Transactions of a page of the host's list. */
const LISTED_MAX = 100;
/** How many that are missing there are asked for one by one; of the others nothing is learnt. */
const ASKED_MAX = 16;

/**
 * Asks the host what became of an account's transactions that are not final, and tells nobody; it is asked nothing where there are none. Throws
 * {@link ApiError} or {@link ProfileError}.
 */
export async function hearOf({ ledger, sessions }: Client, account: Pick<Outgoing, "network" | "from">): Promise<void> {
  const before = await ledger.entries();
  const own = ofAccount(before, account).filter(({ state }) => state !== "final");
  if (own.length === 0) return;
  const { items } = await askTransactions(sessions, account.network, account.from, { limit: LISTED_MAX });
  const told: Told[] = [...items];
  const listed = new Set(items.map(({ hash }) => hash.toLowerCase()));
  // What is in a block is older than the page, most likely.
  const isMissing = ({ hash, state }: Outgoing) => !listed.has(hash) && (state === "unsent" || state === "waiting");
  // The newest: whoever pays again has just been told of one.
  for (const { hash } of own.filter(isMissing).slice(-ASKED_MAX)) {
    const found = await askTransaction(sessions, account.network, hash).catch((error: unknown): Told => {
      if (error instanceof ApiError && error.code === TRANSACTION_UNKNOWN) return { hash, status: "unknown" };
      throw error;
    });
    told.push(found);
  }
  await ledger.learn(before, "heard", told);
}

/** What the transactions that are kept mean for one that is prepared. */
export interface Surroundings {
  /** Earlier ones that wait, and will be carried out as well. */
  readonly beside: readonly Outgoing[];
  /** Of those, the ones with the same recipient, value and call data. */
  readonly repeated: readonly Outgoing[];
  /** Earlier ones with its nonce: only one of them and this one can be carried out. */
  readonly instead: readonly Outgoing[];
}

/**
 * Whether a transaction may be signed. `shown` is what its owner has approved, if they have: nothing that repeats it, or was to make room for it, may
 * go beside it without having been shown there. Throws {@link SendError} (`payment_unsettled`, `payments_unsettled_max`, `not_replaceable`,
 * `transaction_unreasonable`) or {@link ProfileError}.
 */
export async function surround(
  ledger: Ledger,
  next: Next,
  transaction: Transaction,
  shown: Surroundings | undefined,
): Promise<Surroundings> {
  const entries = await ledger.entries();
  const { stops, beside, instead, isNonceRefused } = judge(entries, next);
  if (isNonceRefused) {
    throw next.replaces
      ? new SendError("not_replaceable")
      : new SendError("transaction_unreasonable", "the server names the nonce of another transaction");
  }
  const repeated = beside.filter(({ unsigned }) => doesTheSame(unsigned, next.unsigned));
  const promised = beside.filter((entry) => has(shown?.instead, entry));
  const unseen = shown === undefined ? [] : beside.filter((entry) => has(repeated, entry) && !has(shown.beside, entry));
  await stop(ledger, movesNothing(transaction, next.from) ? [] : [...stops, ...new Set([...promised, ...unseen])]);
  if (withRoom(entries) === undefined) throw new SendError("payments_unsettled_max");
  return { beside, repeated, instead };
}

/** What is to be sent. */
interface Signed {
  readonly network: string;
  readonly raw: Bytes;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * Keeps a signed transaction before a host has it, unless something stands against it by now that its owner was not shown: another tab may have
 * signed meanwhile. Durable when it resolves. Gives its hash. Throws as {@link Networks.broadcast} says.
 */
export async function keepSigned(
  ledger: Ledger,
  { network, raw, now: signedAt }: Signed,
  approved: PreparedTransaction | undefined,
): Promise<string> {
  const { transaction, sender: from, hash: digest } = parseSigned(raw);
  if (network !== `eip155:${transaction.chain}`) throw new RangeError("the transaction is for another network");
  const hash = `0x${toHex(digest)}`;
  const entry = { network, from, nonce: transaction.nonce, hash, unsigned: encodeUnsigned(transaction), signedAt };
  let unseen: readonly Outgoing[] = [];
  await ledger.change((entries) => {
    const isNew = !entries.some((other) => other.hash === hash);
    const { stops, beside } = judge(entries, { ...entry, replaces: true });
    const repeated =
      approved === undefined ? [] : beside.filter((other) => doesTheSame(other.unsigned, entry.unsigned));
    const isExempt = !isNew || movesNothing(transaction, from);
    unseen = isExempt ? [] : [...stops, ...repeated].filter((other) => !has(approved?.beside, other));
    if (unseen.length > 0) return entries;
    const kept = keep(entries, entry);
    if (kept === undefined) throw new SendError("payments_unsettled_max");
    return kept;
  });
  await stop(ledger, unseen);
  return hash;
}

/** Throws {@link SendError} if there are any. From then on their owner knows that the host denies them, whatever it says next. */
async function stop(ledger: Ledger, unsettled: readonly Outgoing[]): Promise<void> {
  if (unsettled.length === 0) return;
  await ledger.doubt(unsettled);
  throw new SendError("payment_unsettled", undefined, unsettled);
}

function has(entries: readonly Outgoing[] | undefined, { hash }: Outgoing): boolean {
  return entries?.some((other) => other.hash === hash) ?? false;
}

/** True for what pays nobody and only uses up a nonce: nothing is paid for twice by it. */
function movesNothing({ to, value, input }: Transaction, from: string): boolean {
  return to !== undefined && checksum(to) === from && value === 0n && input.length === 0;
}
