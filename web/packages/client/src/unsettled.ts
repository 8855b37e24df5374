/** What was signed before, when the next transaction is prepared and when it is sent. */

import { ApiError } from "./api/error.js";
import { askTransaction, askTransactions, isUnknown } from "./api/transactions.js";
import { type Bytes, toHex } from "./bytes.js";
import type { Client } from "./client.js";
import { checksum } from "./evm/address.js";
import { encodeUnsigned, parseSigned, type Transaction } from "./evm/transaction.js";
import type { Ledger } from "./ledger.js";
import {
  type Content,
  doesTheSame,
  isInBlock,
  isRival,
  judge,
  keep,
  type Next,
  type Outgoing,
  ofAccount,
  stopped,
  withRoom,
} from "./outgoing.js";
import type { PreparedTransaction } from "./send.js";
import { SendError } from "./send-error.js";

/** Transactions of a page of the host's list. */
const LISTED_MAX = 100;
/** How many are asked for one by one where no list tells of them; of the others nothing is learnt. */
const ASKED_MAX = 16;

/**
 * Asks the host what became of an account's transactions that are not final, and of those that do what is `wanted` elsewhere in the wallet, and
 * tells nobody; it is asked nothing where there are none. Throws {@link ApiError} or {@link ProfileError}.
 */
export async function hearOf(
  client: Client,
  account: Pick<Outgoing, "network" | "from">,
  wanted: Content,
): Promise<void> {
  const { entries, own } = await client.ledger.kept();
  const here = ofAccount(entries, account);
  if (here.some((entry) => entry.state !== "final" || isOpen(entry))) {
    const page = { limit: LISTED_MAX };
    const { items } = await askTransactions(client, account.network, account.from, "heard", page);
    const listed = new Set(items.map(({ hash }) => hash.toLowerCase()));
    // What is in a block is older than the page, most likely, or its chain was set back. The newest: whoever pays again has just been told of one.
    const missing = here.filter((entry) => isOpen(entry) && !listed.has(entry.hash));
    for (const entry of missing.slice(-ASKED_MAX)) await hear(client, entry);
  }
  const isElsewhere = (entry: Outgoing) => own.includes(entry.from) && !here.includes(entry);
  const same = entries.filter((entry) => isOpen(entry) && isElsewhere(entry) && doesTheSame(entry.unsigned, wanted));
  for (const entry of same.slice(-ASKED_MAX)) {
    // They stay as they are: another network that cannot be reached keeps nobody from paying on this one.
    await hear(client, entry).catch((error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
    });
  }
}

/** Asks for one; that there is none is an answer. */
async function hear(client: Client, { network, hash }: Outgoing): Promise<void> {
  await askTransaction(client, network, hash, () => "heard").catch((error: unknown) => {
    if (!isUnknown(error)) throw error;
  });
}

/** What the transactions that are kept mean for one that is prepared. */
export interface Surroundings {
  /** Earlier ones that wait, and will be carried out as well. */
  readonly beside: readonly Outgoing[];
  /** Of those, the ones with the same recipient, value and call data. */
  readonly repeated: readonly Outgoing[];
  /** Earlier ones with its nonce: only one of them and this one can be carried out. */
  readonly instead: readonly Outgoing[];
  /** Earlier ones with the same recipient, value and call data that were carried out, by the host's word. */
  readonly again: readonly Outgoing[];
  /** Earlier ones that may be carried out, and not in its place. Only what pays nobody is signed beside such. */
  readonly unreplaced: readonly Outgoing[];
}

/**
 * Whether a transaction may be signed. `shown` is what its owner has approved, if they have: nothing that repeats it, or was to make room for it, may
 * go beside it without having been shown there, nor may it have been done since. Throws {@link SendError} (`payment_unsettled`, `payments_unsettled_max`, `not_replaceable`,
 * `transaction_unreasonable`), {@link ApiError} or {@link ProfileError}.
 */
export async function surround(
  client: Client,
  slot: Omit<Next, "own">,
  transaction: Transaction,
  shown: Surroundings | undefined,
): Promise<Surroundings> {
  const { ledger } = client;
  // The chain may have been set back since, as those for development are: then the nonce is free again.
  const inBlock = (await ledger.entries()).filter((entry) => isRival(entry, slot) && isInBlock(entry));
  for (const entry of inBlock.slice(-ASKED_MAX)) await hear(client, entry);
  const { entries, own } = await ledger.kept();
  const next = { ...slot, own };
  const { stops, beside, instead, again, isNonceRefused } = judge(entries, next);
  if (isNonceRefused) {
    throw next.replaces
      ? new SendError("not_replaceable")
      : new SendError("transaction_unreasonable", "the server names the nonce of another transaction");
  }
  const repeated = beside.filter(({ unsigned }) => doesTheSame(unsigned, transaction));
  const unseen = shown === undefined ? [] : [...repeated, ...again].filter((entry) => !isShown(shown, entry));
  const stopping = movesNothing(transaction, next.from) ? [] : [...stops, ...unseen];
  await stop(ledger, inOrder(entries, stopping, promised(shown, stops, beside)));
  if (withRoom(entries, next.accepted, next) === undefined) throw new SendError("payments_unsettled_max");
  return { beside, repeated, instead, again, unreplaced: stops };
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
 * signed meanwhile, also with its nonce, and what was accepted may stand at something else. What is accepted still is settled by that. Durable when it resolves. Gives
 * what is kept. Throws as {@link Networks.broadcast} says.
 */
export async function keepSigned(
  ledger: Ledger,
  { network, raw, now: signedAt }: Signed,
  approved: PreparedTransaction | undefined,
): Promise<Omit<Outgoing, "state" | "known">> {
  const { transaction, sender: from, hash: digest } = parseSigned(raw);
  if (network !== `eip155:${transaction.chain}`) throw new RangeError("the transaction is for another network");
  const hash = `0x${toHex(digest)}`;
  const entry = { network, from, nonce: transaction.nonce, hash, unsigned: encodeUnsigned(transaction), signedAt };
  const accepted = approved?.request.beside ?? [];
  let unseen: readonly Outgoing[] = [];
  await ledger.change(({ entries, own }) => {
    const isNew = !has(entries, entry);
    const replaces = approved === undefined || approved.request.nonce !== undefined;
    const { stops, beside, instead, again, isNonceRefused } = judge(entries, { ...entry, replaces, own, accepted });
    if (isNew && (isNonceRefused || (approved && !instead.every((other) => has(approved.instead, other))))) {
      throw new SendError("nonce_taken", "another transaction has this nonce");
    }
    const repeated = beside.filter((other) => doesTheSame(other.unsigned, transaction));
    const same = approved === undefined ? [] : [...repeated, ...again];
    const stopping = movesNothing(transaction, from)
      ? []
      : [...stops, ...same].filter((other) => !isShown(approved, other));
    unseen = isNew ? inOrder(entries, stopping, promised(approved, stops, beside)) : [];
    if (unseen.length > 0) return entries;
    const kept = keep(entries, entry, accepted);
    if (kept === undefined) throw new SendError("payments_unsettled_max");
    return kept;
  });
  await stop(ledger, unseen);
  return entry;
}

/** Throws {@link SendError} if there are any. From then on their owner knows where the host says that they stand, whatever it says next. */
async function stop(ledger: Ledger, unsettled: readonly Outgoing[]): Promise<void> {
  if (unsettled.length === 0) return;
  await ledger.change(({ entries }) => stopped(entries, unsettled));
  throw new SendError("payment_unsettled", undefined, unsettled);
}

/** It was shown to take the place of these, and would go beside them. */
function promised(shown: Surroundings | undefined, ...others: (readonly Outgoing[])[]): readonly Outgoing[] {
  return others.flat().filter((entry) => has(shown?.instead, entry));
}

/** Each once, in the order in which they were signed. */
function inOrder(entries: readonly Outgoing[], ...some: (readonly Outgoing[])[]): readonly Outgoing[] {
  return entries.filter((entry) => some.flat().includes(entry));
}

/** Whoever approved it knows that this one goes beside it, or was carried out. */
function isShown(shown: Surroundings | undefined, entry: Outgoing): boolean {
  return has(shown?.beside, entry) || has(shown?.again, entry);
}

function has(entries: readonly Outgoing[] | undefined, { hash }: Pick<Outgoing, "hash">): boolean {
  return entries?.some((other) => other.hash === hash) ?? false;
}

/** In no block, by what the host said last, or its owner may not believe that. */
function isOpen(entry: Outgoing): boolean {
  return !isInBlock(entry) || entry.known === "doubtful";
}

/** True for what pays nobody and only uses up a nonce: nothing is paid for twice by it. */
function movesNothing({ to, value, input }: Transaction, from: string): boolean {
  return to !== undefined && checksum(to) === from && value === 0n && input.length === 0;
}
