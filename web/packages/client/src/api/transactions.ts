/** What the host says of transactions that were sent through it: its word, nothing of it trusted. */

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

/** Code of the server where it has not sent such a transaction. */
export const TRANSACTION_UNKNOWN = "transaction_unknown";

/** One transaction. */
export async function askTransaction(sessions: Sessions, network: string, hash: string): Promise<TransactionInfo> {
  const answer = await sessions.authorized({ method: "GET", path: ["v1", "tx", network, hash] }, transaction);
  demand(answer, network, hash);
  return answer;
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
}

/** What was sent from an address, newest first. */
export function askTransactions(
  sessions: Sessions,
  network: string,
  address: string,
  { limit = 20, cursor }: Paging,
): Promise<TransactionPage> {
  const query: [string, string][] = [
    ["network", network],
    ["address", address],
    ["limit", String(limit)],
  ];
  if (cursor !== undefined) query.push(["cursor", cursor]);
  const shape = object({ items: list(transaction), next_cursor: optional(string) });
  return sessions.authorized({ method: "GET", path: ["v1", "tx"], query }, shape);
}

/** Throws {@link ApiError} for an answer about anything but what was asked for. */
export function demand(answer: TransactionInfo, network: string, hash: string): void {
  const isAsked = answer.network === network && answer.hash.toLowerCase() === hash.toLowerCase();
  if (!isAsked) throw ApiError.fault("answer_malformed", "the server reports another transaction");
}
