/** A request that pays somebody and does nothing else, in the words in which it is reviewed, approved and reported. */

import type { NetworkInfo, View } from "@pinseal/client";
import { formatAmount, grouped } from "./amount.ts";
import { coinOf } from "./flow/flow.ts";
import type { Request } from "./request.ts";

export interface Paid {
  /** With its unit, exact. */
  readonly amount: string;
  readonly to: string;
}

/** What a token's transfer pays to whom: it says all of itself in three fields. */
export function tokenPayment(view: View): Paid | undefined {
  const field = (name: string) => view.fields.find(({ label }) => label === name)?.value;
  const [amount, to] = [field("Amount"), field("Recipient")];
  const isPlain = view.kind === "token_transfer" && field("From") === undefined;
  return isPlain && amount !== undefined && to !== undefined ? { amount: grouped(amount), to } : undefined;
}

export function paymentOf(request: Request, networks: readonly NetworkInfo[]): Paid | undefined {
  const { items, value, to } = request;
  const [item] = items;
  if (item === undefined || items.length > 1) return undefined;
  if (item.view.kind !== "value_transfer") return tokenPayment(item.view);
  const network = networks.find(({ caip2 }) => caip2 === request.network);
  if (value === undefined || to === undefined || network === undefined) return undefined;
  const { symbol, decimals } = coinOf(network);
  return { amount: `${grouped(formatAmount(value, decimals))} ${symbol}`, to };
}
