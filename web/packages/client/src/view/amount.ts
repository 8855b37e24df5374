/** Amounts and times as text. */

import type { Bytes } from "../bytes.js";
import { checksum } from "../evm/address.js";
import { type Sentence, sentence, type Value } from "./sentences.js";
import { escapeText } from "./text.js";
import { type Context, type Native, tokenAt } from "./view.js";

const NO_DEADLINE = "no deadline";
/** 9999-12-31T23:59:59Z. */
const SECONDS_MAX = 253_402_300_799n;

/** `value / 10^decimals`, exactly, without trailing zeros. */
export function decimal(value: bigint, decimals: number): string {
  const digits = value.toString().padStart(decimals + 1, "0");
  const point = digits.length - decimals;
  const fraction = digits.slice(point).replace(/0+$/, "");
  return fraction === "" ? digits.slice(0, point) : `${digits.slice(0, point)}.${fraction}`;
}

export function nativeAmount(value: bigint, { symbol, decimals }: Native): string {
  return `${decimal(value, decimals)} ${escapeText(symbol)}`;
}

/** An amount of the token at `address`: with its symbol where known, else in raw units. */
export function tokenAmount(value: bigint, chain: bigint, address: Bytes, context: Context): Value {
  const token = tokenAt(context, chain, address);
  if (token === undefined) return sentence("units_of_token", { value: `${value}`, token: checksum(address) });
  return `${decimal(value, token.decimals)} ${escapeText(token.symbol)}`;
}

/** As {@link tokenAmount}, for an allowance. */
export function allowance(value: bigint, chain: bigint, address: Bytes, context: Context): Sentence {
  if (!isUnlimited(value)) return sentence("up_to", { amount: tokenAmount(value, chain, address, context) });
  const token = tokenAt(context, chain, address);
  return token === undefined
    ? sentence("unlimited_token", { token: checksum(address) })
    : sentence("unlimited", { symbol: escapeText(token.symbol) });
}

/**
 * Beyond every supply: from 2^120 on (10^18 whole tokens of 18 decimals; the largest supplies in use lie below 2^110), or all ones in a whole number
 * of at least 12 bytes, as contracts with narrower counters write it.
 */
export function isUnlimited(value: bigint): boolean {
  const bits = value === 0n ? 0 : value.toString(2).length;
  return bits > 120 || (bits >= 96 && bits % 8 === 0 && value === (1n << BigInt(bits)) - 1n);
}

/** A deadline in seconds since 1970, as RFC 3339 where it is a date. */
export function deadline(seconds: bigint): string {
  if (seconds > SECONDS_MAX) return NO_DEADLINE;
  return new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");
}

/** {@link deadline} within a sentence. */
export function until(seconds: bigint): Sentence {
  const date = deadline(seconds);
  return date === NO_DEADLINE ? sentence("no_deadline") : sentence("until", { date });
}
