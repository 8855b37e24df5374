/** What the host says of transactions that were sent through it: its word, nothing of it trusted. */

import type { Ledger } from "../ledger.js";
import { type Learnt, type Outgoing, ofAccount, type Status } from "../outgoing.js";
import { ApiError } from "./error.js";
import { amount, list, natural, object, oneOf, optional, type Read, string } from "./json.js";
import type { Sessions } from "./session.js";

const gap = object({
  nonce: natural,
  /** Unix seconds: until then somebody who is signing may still send it. Absent: the next transaction that is sent takes it. */
  until: optional(natural),
});
/**
 * A nonce that was given out and not used: transactions with later ones wait for it.
 *
 * @interface
 */
export type Gap = Read<typeof gap>;

/** A transaction in an answer. */
export const transaction = object({
  network: string,
  hash: string,
  from: string,
  to: optional(string),
  value: amount,
  nonce: natural,
  status: oneOf("pending", "mined", "final", "failed", "dropped", "replaced"),
  block_number: optional(natural),
  confirmations: optional(natural),
  submitted_at: optional(natural),
  fee_paid: optional(amount),
  /** What a pending one waits for, where an earlier nonce was not sent. */
  waits_for: optional(gap),
});
/**
 * What became of a transaction that was sent through the deployment. Times are Unix seconds.
 *
 * @interface
 */
export type TransactionInfo = Read<typeof transaction>;

/** Who is asked, and where it is written what they say of what was signed here. */
export interface Asked {
  readonly sessions: Sessions;
  readonly ledger: Ledger;
}

/**
 * One transaction. `learnt` says, when the answer is there, what its owner knows by what it says; an answer about anything else leaves it in doubt.
 * With it comes whether something else was learnt of it meanwhile.
 */
export async function askTransaction(
  { sessions, ledger }: Asked,
  network: string,
  hash: string,
  learnt: (status: Status) => Learnt,
): Promise<{ readonly found: TransactionInfo; readonly isLate: boolean }> {
  const before = await ledger.entries();
  try {
    const found = await sessions.authorized({ method: "GET", path: ["v1", "tx", network, hash] }, transaction);
    demand(found, network, hash);
    const how = learnt(found.status);
    return {
      found,
      isLate: await ledger.learn(before, how, [found], how === "heard" ? [] : deniedBy([found], before)),
    };
  } catch (error) {
    if (isUnknown(error)) await ledger.learn(before, learnt("unknown"), [{ hash, status: "unknown" }]);
    else if (error instanceof ApiError && error.code === "answer_malformed") await ledger.doubt(hash);
    throw error;
  }
}

/** True where the server has not sent such a transaction. */
export function isUnknown(error: unknown): boolean {
  return error instanceof ApiError && error.code === "transaction_unknown";
}

/** Which page of a list. */
export interface Paging {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Transactions in an order, and where the next page starts. */
export interface TransactionPage {
  readonly items: TransactionInfo[];
  readonly next_cursor: string | undefined;
  /** What this device signed and should be there, in the order of signing. */
  readonly unlisted: readonly Outgoing[];
}

/** What was sent from an address, newest first. Whoever is `shown` it misses what should be there. */
export async function askTransactions(
  { sessions, ledger }: Asked,
  network: string,
  address: string,
  learnt: "shown" | "heard",
  { limit = 20, cursor }: Paging,
): Promise<TransactionPage> {
  const query: [string, string][] = [
    ["network", network],
    ["address", address],
    ["limit", String(limit)],
  ];
  if (cursor !== undefined) query.push(["cursor", cursor]);
  const shape = object({ items: list(transaction), next_cursor: optional(string) });
  const before = await ledger.entries();
  const page = await sessions.authorized({ method: "GET", path: ["v1", "tx"], query }, shape);
  const own = ofAccount(before, { network, from: address });
  const unlisted = cursor === undefined ? missingIn(page, own, limit) : [];
  const missing = unlisted.map(({ hash }) => hash);
  await ledger.learn(
    before,
    learnt,
    page.items,
    learnt === "heard" ? [] : [...missing, ...deniedBy(page.items, before)],
  );
  if (ofAccount(page.items, { network, from: address }).length < page.items.length) throw misreported();
  return { ...page, unlisted };
}

/**
 * What the first page should have of an account's: all where none follows, or could as it is not full; else what was signed after something that it
 * has.
 */
function missingIn(
  { items, next_cursor: next }: Omit<TransactionPage, "unlisted">,
  own: readonly Outgoing[],
  limit: number,
): readonly Outgoing[] {
  const listed = new Set(items.map(({ hash }) => hash.toLowerCase()));
  const oldest = own.findIndex(({ hash }) => listed.has(hash));
  const from = next === undefined || items.length < limit ? 0 : oldest < 0 ? own.length : oldest;
  return own.slice(from).filter(({ hash }) => !listed.has(hash));
}

/** What was signed with a nonce that was not sent, as the host says of one that waits for it. */
function deniedBy(told: readonly TransactionInfo[], kept: readonly Outgoing[]): string[] {
  const denied = told.flatMap((row) =>
    ofAccount(kept, row).filter(({ nonce }) => row.waits_for !== undefined && nonce === BigInt(row.waits_for.nonce)),
  );
  return denied.map(({ hash }) => hash);
}

/** Throws {@link ApiError} for an answer about anything but what was asked for. */
export function demand(answer: TransactionInfo, network: string, hash: string): void {
  const isAsked = answer.network === network && answer.hash.toLowerCase() === hash.toLowerCase();
  if (!isAsked) throw misreported();
}

/** The host speaks of another one than was asked for, or than was signed here. */
export function misreported(): ApiError {
  return ApiError.fault("answer_malformed", "the server reports another transaction");
}
