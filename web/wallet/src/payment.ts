/** A request that pays somebody and does nothing else, in the words in which it is reviewed, approved and reported. */

import {
  checksum,
  type NetworkInfo,
  type Outgoing,
  parseUnsigned,
  type Token,
  type View,
  viewOf,
  type Warning,
} from "@pinseal/client";
import { formatAmount, grouped } from "./amount.ts";
import { coinOf } from "./coin.ts";
import type { Request } from "./request.ts";

export interface Paid {
  /** With its unit, exact. */
  readonly amount: string;
  readonly to: string;
}

/** What comes with a token's transfer and is no part of it: coins that ride on the call, and bytes behind its arguments. */
const BESIDE: ReadonlySet<Warning["code"]> = new Set(["value_with_call", "extra_calldata"]);

/** What a token's transfer pays to whom, where it does nothing else: it says all of itself in three fields. */
export function tokenPayment(view: View): Paid | undefined {
  const field = (name: string) => view.fields.find(({ label }) => label === name)?.value;
  const [amount, to] = [field("Amount"), field("Recipient")];
  const isAlone = view.warnings.every(({ code }) => !BESIDE.has(code));
  const isPlain = view.kind === "token_transfer" && field("From") === undefined && isAlone;
  return isPlain && amount !== undefined && to !== undefined ? { amount: grouped(amount), to } : undefined;
}

/** A transaction that was signed before, read from the bytes that were approved then; nothing of it is the host's. */
export interface Earlier {
  readonly view: View;
  /** Where it pays somebody and does nothing else. */
  readonly paid: Paid | undefined;
  /** The contract that it calls, or whom it pays; absent where it makes a contract. */
  readonly to: string | undefined;
}

export function earlierOf({ network: caip2, unsigned }: Outgoing, tokens: readonly Token[]): Earlier {
  const { chain, to: recipient, value } = parseUnsigned(unsigned);
  const view = viewOf({ kind: "evmTransaction", account: 0, chain, unsigned }, tokens);
  const to = recipient && checksum(recipient);
  const isPlain = view.kind === "value_transfer" && to !== undefined;
  return { view, to, paid: isPlain ? { amount: coins(value, { caip2 }), to } : tokenPayment(view) };
}

export function paymentOf(request: Request, networks: readonly NetworkInfo[]): Paid | undefined {
  const { items, value, to } = request;
  const [item] = items;
  if (item === undefined || items.length > 1) return undefined;
  if (item.view.kind !== "value_transfer") return tokenPayment(item.view);
  const network = networks.find(({ caip2 }) => caip2 === request.network);
  if (value === undefined || to === undefined || network === undefined) return undefined;
  return { amount: coins(value, network), to };
}

function coins(units: bigint, network: Pick<NetworkInfo, "caip2">): string {
  const { symbol, decimals } = coinOf(network);
  return `${grouped(formatAmount(units, decimals))} ${symbol}`;
}
