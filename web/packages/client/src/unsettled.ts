/** What was signed before, when the next transaction is prepared and when it is sent. */

import { ApiError } from "./api/error.js";
import { type Asked, askTransaction, askTransactions, isUnknown } from "./api/transactions.js";
import { type Bytes, toHex } from "./bytes.js";
import type { Client } from "./client.js";
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
  paysNobody,
  type Shown,
  stopped,
  type Unsent,
  unseen,
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
    await orNothing(hear(client, entry));
  }
}

/**
 * Asks the host what became of the wallet's oldest that are in no block, wherever they were signed, and tells nobody: there may be room then. Where
 * nothing is learnt they stand as they stood. Throws {@link ProfileError}.
 */
async function hearOfOldest(asked: Asked): Promise<void> {
  const { entries, own } = await asked.ledger.kept();
  const open = entries.filter((entry) => own.includes(entry.from) && !isInBlock(entry));
  const lists = new Map(open.map(({ network, from }) => [`${network} ${from}`, { network, from }]));
  const listed = new Set<string>();
  for (const { network, from } of [...lists.values()].slice(0, ASKED_MAX)) {
    const page = await orNothing(askTransactions(asked, network, from, "heard", { limit: LISTED_MAX }));
    for (const { hash } of page?.items ?? []) listed.add(hash.toLowerCase());
  }
  const unlisted = open.filter(({ hash }) => !listed.has(hash));
  for (const entry of unlisted.slice(0, ASKED_MAX)) await orNothing(hear(asked, entry));
}

/** What a host answers, if it does. */
async function orNothing<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch((error: unknown) => {
    if (!(error instanceof ApiError)) throw error;
    return undefined;
  });
}

/** Asks for one; that there is none is an answer. */
async function hear(asked: Asked, { network, hash }: Outgoing): Promise<void> {
  await askTransaction(asked, network, hash, () => "heard").catch((error: unknown) => {
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
 * Whether a transaction may be signed. `shown` is what its owner has approved, if they have: what they were not shown then, and have to be, goes back to
 * them ({@link unseen}). Throws {@link SendError} (`payment_unsettled`, `payments_unsettled_max`, `not_replaceable`, `transaction_unreasonable`),
 * {@link ApiError} or {@link ProfileError}.
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
  let { entries, own } = await ledger.kept();
  let room = withRoom(entries, { ...slot, own }, slot.accepted);
  if (room === undefined) {
    await hearOfOldest(client);
    ({ entries, own } = await ledger.kept());
    room = withRoom(entries, { ...slot, own }, slot.accepted);
  }
  const next = { ...slot, own };
  const verdict = judge(entries, next);
  const { stops, beside, instead, again, isNonceRefused } = verdict;
  if (isNonceRefused) {
    throw next.replaces
      ? new SendError("not_replaceable")
      : new SendError("transaction_unreasonable", "the server names the nonce of another transaction");
  }
  const untold = shown === undefined ? [] : unseen(shownOf(shown), verdict, next);
  // What pays nobody is paid twice by nothing.
  const inTheWay = paysNobody(next) ? [] : stops.filter(({ hash }) => !untold.some((other) => other.hash === hash));
  await stop(ledger, inOrder(entries, [...untold, ...inTheWay]));
  if (room === undefined) throw new SendError("payments_unsettled_max");
  const repeated = beside.filter(({ unsigned }) => doesTheSame(unsigned, transaction));
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
  asked: Asked,
  signed: Signed,
  approved: PreparedTransaction | undefined,
): Promise<Unsent> {
  const { network, raw, now: signedAt } = signed;
  const { transaction, sender: from, hash: digest } = parseSigned(raw);
  if (network !== `eip155:${transaction.chain}`) throw new RangeError("the transaction is for another network");
  const hash = `0x${toHex(digest)}`;
  const entry = { network, from, nonce: transaction.nonce, hash, unsigned: encodeUnsigned(transaction), signedAt };
  const { ledger } = asked;
  if (!(await isKept(ledger, entry, approved))) {
    await hearOfOldest(asked);
    if (!(await isKept(ledger, entry, approved))) throw new SendError("payments_unsettled_max");
  }
  return entry;
}

/** Keeps it; false if there is no room. */
async function isKept(ledger: Ledger, entry: Unsent, approved: PreparedTransaction | undefined): Promise<boolean> {
  const accepted = approved?.request.beside ?? [];
  let untold: readonly Outgoing[] = [];
  let kept: readonly Outgoing[] | undefined;
  await ledger.change(({ entries, own }) => {
    const replaces = approved === undefined || approved.request.nonce !== undefined;
    const next = { ...entry, replaces, own, accepted };
    const verdict = judge(entries, next);
    const { stops, instead, isNonceRefused } = verdict;
    if (!has(entries, entry)) {
      if (isNonceRefused || (approved && !instead.every((other) => has(approved.instead, other)))) {
        throw new SendError("nonce_taken", "another transaction has this nonce");
      }
      const inTheWay = paysNobody(entry) ? [] : stops;
      untold = inOrder(entries, approved ? unseen(shownOf(approved), verdict, next) : inTheWay);
      if (untold.length > 0) return entries;
    }
    kept = keep(entries, entry, own, accepted);
    return kept ?? entries;
  });
  await stop(ledger, untold);
  return kept !== undefined;
}

function shownOf({ unreplaced, ...others }: Surroundings): Shown {
  return { ...others, stops: unreplaced };
}

/** As they stand, in the order in which they were signed; what is kept no more as it stood, before all others. */
function inOrder(entries: readonly Outgoing[], some: readonly Outgoing[]): readonly Outgoing[] {
  return [...some.filter((entry) => !has(entries, entry)), ...entries.filter((entry) => has(some, entry))];
}

/** Throws {@link SendError} if there are any. From then on their owner knows where the host says that they stand, whatever it says next. */
async function stop(ledger: Ledger, unsettled: readonly Outgoing[]): Promise<void> {
  if (unsettled.length === 0) return;
  await ledger.change(({ entries }) => stopped(entries, unsettled));
  throw new SendError("payment_unsettled", undefined, unsettled);
}

function has(entries: readonly Outgoing[] | undefined, { hash }: Pick<Outgoing, "hash">): boolean {
  return entries?.some((other) => other.hash === hash) ?? false;
}

/** In no block, by what the host said last, or its owner may not believe that. */
function isOpen(entry: Outgoing): boolean {
  return !isInBlock(entry) || entry.known === "doubtful";
}
