/** From "send this there" to an unsigned transaction that can be shown and approved. */

import type { Account } from "./account.js";
import type { Fees, Prepared } from "./api/networks.js";
import { type Bytes, concat, toHex } from "./bytes.js";
import type { Client } from "./client.js";
import { parseAddress } from "./evm/address.js";
import { type AccessListItem, encodeUnsigned, feeMax, type Kind, type Transaction } from "./evm/transaction.js";
import { wordOf } from "./evm/typed-data/value.js";
import type { Accepted, Content } from "./outgoing.js";
import type { Intent } from "./protocol/intent.js";
import { SendError } from "./send-error.js";
import { hearOf, type Surroundings, surround } from "./unsettled.js";
import { viewOf } from "./view/index.js";
import type { Token, View } from "./view/view.js";

/** Most gas a transaction may be given: a whole block on most networks. */
const GAS_LIMIT_MAX = 30_000_000;
/** Highest price of a unit of gas, 100,000 gwei: several times the worst ever seen on the networks of the registry. */
const GAS_PRICE_MAX = 100_000_000_000_000n;
/** Gas of a transfer to an account without code, fixed by the EVM. */
const TRANSFER_GAS = 21_000;
/**
 * Highest whole fee unless the caller allows another: 0.05 of the native coin. The host proposes the fee, and where nobody looks before
 * signing this is all it can burn.
 */
const FEE_MAX_DEFAULT = 50_000_000_000_000_000n;

/** A transaction a person wants, without what the network decides. */
export interface TransactionRequest {
  /** CAIP-2 id of an EVM network. */
  readonly network: string;
  /** Account that pays. */
  readonly account: number;
  /** Recipient or contract; absent where `data` makes a new contract. */
  readonly to?: string;
  /** Native currency to move, in wei. */
  readonly value: bigint;
  /** Call data, absent for a plain transfer. */
  readonly data?: Bytes;
  readonly speed?: "slow" | "normal" | "fast";
  /** Nonce of a waiting transaction of the account that this one takes the place of. */
  readonly nonce?: number;
  /** Nonce that the transaction is to have, which is to be the next one: with any other it is refused (`nonce_taken`). */
  readonly nextNonce?: number;
  /** Prices, in place of what the host proposes. */
  readonly prices?: Prices;
  /** Gas, in place of what the host estimates. */
  readonly gasLimit?: number;
  readonly accessList?: readonly AccessListItem[];
  /** Most gas to allow; without call data that of a transfer to an account without code. */
  readonly gasLimitMax?: number;
  /** Most the whole fee may be, in wei. */
  readonly feeMax?: bigint;
  /**
   * Earlier transactions that stopped this one ({@link SendError.unsettled}), and beside which it is meant all the same by somebody who has looked
   * elsewhere, where this host has no say, what became of them. Each holds for what it stood at then: one that stands at something else by now stops it
   * again. When this one is handed over those that were not carried out are kept no more, and of the others their owner knows.
   */
  readonly beside?: readonly Accepted[];
}

/** Wei per gas. */
export type Prices =
  | { readonly gasPrice: bigint }
  | { readonly maxFeePerGas: bigint; readonly maxPriorityFeePerGas: bigint };

/** An unsigned transaction, decoded for display from the bytes that will be signed. */
export interface PreparedTransaction extends Surroundings {
  readonly network: string;
  readonly from: Account;
  readonly transaction: Transaction;
  /** What is sealed. */
  readonly intent: Intent;
  /** For the person who approves it. */
  readonly view: View;
  /** The account's native balance, as the host says. */
  readonly balance: bigint | undefined;
  /** For {@link Networks.release} when it will not be sent. `undefined` where the nonce is held for nobody. */
  readonly reservationId: string | undefined;
  /** When the host gives a nonce that is held to somebody else, in Unix seconds. */
  readonly expiresAt: number | undefined;
  /** What it was made from, to ask for the same again. */
  readonly request: TransactionRequest;
  /** Tokens known when it was decoded. */
  readonly tokens: readonly Token[];
}

/** Call data of an ERC-20 transfer, in the token's base units. Throws a `RangeError` for what is no address or no amount. */
export function erc20Transfer(to: string, amount: bigint): Bytes {
  const address = parseAddress(to);
  if (typeof address === "string" || amount < 0n || amount >= 1n << 256n)
    throw new RangeError("no address, or no amount");
  const selector = Uint8Array.of(0xa9, 0x05, 0x9c, 0xbb);
  return concat(selector, new Uint8Array(12), address, wordOf(amount));
}

/**
 * Asks the host for nonce, gas and fees, builds the unsigned transaction within what the request allows (EIP-1559, or legacy where the
 * network lacks it) and decodes it for display. With `isHeld` the nonce is held for a while, and later transactions wait for it; without,
 * it is the next one as things are. Throws {@link SendError}, {@link IntentError}, {@link AccountError}, {@link ApiError} or
 * {@link ProfileError}.
 */
export async function prepareTransaction(
  client: Client,
  request: TransactionRequest,
  tokens: readonly Token[],
  isHeld: boolean,
): Promise<PreparedTransaction> {
  const { network, account } = request;
  const chain = chainOf(network);
  const from = await client.account(account);
  await hearOf(client, { network, from: from.address }, contentOf(request));
  const answer = await ask(client, request, from, isHeld);
  return orRelease(client, answer, async () => {
    const transaction = build(request, chain, answer);
    const made = { network, from, transaction, ...shown(account, transaction, tokens) };
    return surrounded(client, { ...made, ...terms(answer), request, tokens });
  });
}

/**
 * What was shown and approved, with a nonce that is held from now on, to be signed and sent at once. Nothing but the nonce may differ: it is
 * the host's to say, and what it says says nothing to a person. One that takes the place of another transaction keeps its nonce.
 */
export async function takeNonce(client: Client, approved: PreparedTransaction): Promise<PreparedTransaction> {
  const { request, from, tokens } = approved;
  await hearOf(client, { network: request.network, from: from.address }, approved.transaction);
  if (request.nonce !== undefined) return surrounded(client, approved, approved);
  const answer = await ask(client, request, from, true);
  return orRelease(client, answer, async () => {
    if (answer.network !== request.network) throw unreasonable("another network or nonce");
    demandNext(request, answer);
    const transaction = { ...approved.transaction, nonce: BigInt(answer.nonce) };
    const { reservationId, expiresAt } = terms(answer);
    const numbered = { ...approved, transaction, ...shown(request.account, transaction, tokens) };
    return surrounded(client, { ...numbered, reservationId, expiresAt }, approved);
  });
}

/** With what was signed before. `shown` is what its owner has approved, if they have. */
async function surrounded(
  client: Client,
  made: Omit<PreparedTransaction, keyof Surroundings>,
  shown?: PreparedTransaction,
): Promise<PreparedTransaction> {
  const { network, from, transaction, request } = made;
  const replaces = request.nonce !== undefined;
  const unsigned = encodeUnsigned(transaction);
  const { beside: accepted = [] } = request;
  const next = { network, from: from.address, nonce: transaction.nonce, unsigned, replaces, accepted };
  return { ...made, ...(await surround(client, next, transaction, shown)) };
}

function ask(client: Client, request: TransactionRequest, from: Account, reserve: boolean): Promise<Prepared> {
  const { network, to, value, data, nonce } = request;
  return client.networks.prepare({
    network,
    from: from.address,
    value,
    ...(to !== undefined && { to }),
    ...(data && { data: `0x${toHex(data)}` }),
    ...(nonce !== undefined && { nonce }),
    reserve,
  });
}

async function orRelease<T>(client: Client, { reservation_id: id }: Prepared, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    // If that fails the nonce comes back by itself.
    if (id !== undefined) await client.networks.release(id).catch(() => undefined);
    throw error;
  }
}

function terms({ balance, reservation_id: reservationId, expires_at: expiresAt }: Prepared) {
  return { balance, reservationId, expiresAt };
}

/** Throws {@link SendError} where the nonce that was named is not the next one. */
function demandNext({ nextNonce }: TransactionRequest, { nonce }: Prepared): void {
  if (nextNonce !== undefined && nextNonce !== nonce) {
    throw new SendError("nonce_taken", `the next nonce is ${nonce}, not ${nextNonce}`);
  }
}

/** What is sealed, and what it means, read from it. */
function shown(account: number, transaction: Transaction, tokens: readonly Token[]) {
  const { chain } = transaction;
  const intent: Intent = { kind: "evmTransaction", account, chain, unsigned: encodeUnsigned(transaction) };
  return { intent, view: viewOf(intent, tokens) };
}

function chainOf(network: string): bigint {
  const id = /^eip155:([1-9][0-9]{0,19})$/.exec(network)?.[1];
  if (id === undefined) throw new SendError("network_not_evm", `${network} is not an EVM network`);
  return BigInt(id);
}

/** What it is to do. Throws {@link SendError} for what does nothing. */
function contentOf({ to: text, value, data }: TransactionRequest): Content {
  const to = text === undefined ? undefined : parseAddress(text);
  if (typeof to === "string" || (to ?? data) === undefined) throw unreasonable("no recipient");
  return { to, value, input: data ?? new Uint8Array(0) };
}

/** Builds the transaction from what the host proposes, within what the request allows. */
function build(request: TransactionRequest, chain: bigint, answer: Prepared): Transaction {
  const { network, data, speed = "normal", nonce } = request;
  if (answer.network !== network || (nonce !== undefined && nonce !== answer.nonce)) {
    throw unreasonable("another network or nonce");
  }
  demandNext(request, answer);
  const gasLimit = request.gasLimit ?? answer.gas_limit;
  if (gasLimit > GAS_LIMIT_MAX) throw unreasonable("gas limit");
  const gasAllowed = request.gasLimitMax ?? request.gasLimit ?? (data === undefined ? TRANSFER_GAS : GAS_LIMIT_MAX);
  if (gasLimit > gasAllowed) {
    throw new SendError("gas_too_high", `${gasLimit} gas are asked for, and ${gasAllowed} are allowed`);
  }
  const transaction = {
    chain,
    nonce: BigInt(answer.nonce),
    gasLimit: BigInt(gasLimit),
    ...contentOf(request),
    kind: kindOf(request.prices ?? pricesOf(answer.fees, speed), request.accessList),
  };
  const [fee, feeAllowed] = [feeMax(transaction), request.feeMax ?? FEE_MAX_DEFAULT];
  if (fee > feeAllowed) {
    throw new SendError(
      "fee_too_high",
      `the fee may become ${fee} and ${feeAllowed} are allowed, in the smallest unit`,
    );
  }
  return transaction;
}

function kindOf(prices: Prices, accessList: readonly AccessListItem[] | undefined): Kind {
  if ("maxFeePerGas" in prices) return { type: "dynamicFee", ...prices, accessList: accessList ?? [] };
  return accessList === undefined ? { type: "legacy", ...prices } : { type: "accessList", ...prices, accessList };
}

function pricesOf(fees: Fees, speed: "slow" | "normal" | "fast"): Prices {
  // A network without EIP-1559 has a gas price and no base fee; where both hold, either type of transaction is taken.
  if (fees.legacy_gas_price !== undefined && (fees.base_fee ?? 0n) === 0n) {
    return { gasPrice: price(fees.legacy_gas_price) };
  }
  const fee = fees[speed];
  if (fee === undefined) throw unreasonable("no fees");
  return { maxFeePerGas: price(fee.max_fee_per_gas), maxPriorityFeePerGas: price(fee.max_priority_fee_per_gas) };
}

function price(proposed: bigint): bigint {
  if (proposed > GAS_PRICE_MAX) throw unreasonable("gas price");
  return proposed;
}

function unreasonable(what: string): SendError {
  return new SendError("transaction_unreasonable", `the server proposes an unreasonable transaction (${what})`);
}
