/** Parameters as apps write them, to what the wallet takes: strict, and exact to the last digit. */
import type { Transaction } from "@pinseal/core";
import { invalidParams } from "./error.js";

/** 0x and hex digits. */
export type Hex = `0x${string}`;

const WORD = 1n << 256n;

/** An object of the app's, not an array. */
export function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidParams(`${what} is no object`);
  return value as Record<string, unknown>;
}

export function address(value: unknown, what = "the address"): Hex {
  if (typeof value !== "string" || !/^0x[0-9a-fA-F]{40}$/.test(value)) throw invalidParams(`${what} is no address`);
  return value as Hex;
}

/** Hex without leading zeros, from hex, a bigint, or a number that is exact. */
export function quantity(value: unknown, what: string): Hex {
  const isText = typeof value === "string" && /^0x[0-9a-fA-F]{1,64}$/.test(value);
  if (!isText && typeof value !== "bigint" && !Number.isSafeInteger(value))
    throw invalidParams(`${what} is no quantity`);
  const number = BigInt(value as string | bigint | number);
  if (number < 0n || number >= WORD) throw invalidParams(`${what} is out of range`);
  return `0x${number.toString(16)}`;
}

export function bytes(value: unknown, what: string): Hex {
  if (typeof value !== "string" || !/^0x([0-9a-fA-F]{2})*$/.test(value)) throw invalidParams(`${what} is no hex`);
  return value as Hex;
}

/** The message of `personal_sign`: hex is bytes, anything else is the text itself. */
export function message(value: unknown): Hex {
  if (typeof value !== "string") throw invalidParams("the message is no text");
  if (/^0x([0-9a-fA-F]{2})*$/.test(value)) return value as Hex;
  const octets = Array.from(new TextEncoder().encode(value), (octet) => octet.toString(16).padStart(2, "0"));
  return `0x${octets.join("")}`;
}

/** JSON as the app wrote it; an object only if none of its numbers has lost digits. */
export function typedData(value: unknown): string {
  if (typeof value === "string") return value;
  return JSON.stringify(object(value, "the typed data"), (_name, item: unknown) => {
    if (typeof item === "bigint") return item.toString();
    if (typeof item === "number" && !Number.isSafeInteger(item)) {
      throw invalidParams("the typed data has a number that is not exact: write it as text");
    }
    return item;
  });
}

/** A chain id as `wallet_switchEthereumChain` takes it. */
export function chainId(value: unknown): Hex {
  if (typeof value !== "string" || !/^0x(0|[1-9a-fA-F][0-9a-fA-F]{0,15})$/.test(value)) {
    throw invalidParams("the chain id is no hex without leading zeros");
  }
  return value.toLowerCase() as Hex;
}

/** EIP-3085's parameter: its chain id. What else an app says of the chain decides nothing here, but is refused where the standard wants that. */
export function addedChain(value: unknown): Hex {
  const { chainId: id, chainName, nativeCurrency, ...urls } = object(value, "the chain");
  if (chainName !== undefined && typeof chainName !== "string") throw invalidParams("the chain's name is no text");
  if (nativeCurrency !== undefined) {
    const { name, symbol, decimals } = object(nativeCurrency, "the chain's currency");
    const isNamed = typeof name === "string" && typeof symbol === "string" && /^.{2,6}$/u.test(symbol);
    if (!isNamed || !Number.isSafeInteger(decimals) || Number(decimals) < 0)
      throw invalidParams("the chain's currency has no name, symbol of 2 to 6 characters and decimals");
  }
  for (const field of ["rpcUrls", "blockExplorerUrls", "iconUrls"]) {
    const listed = urls[field];
    // Some apps write null for none.
    if (listed === undefined || (listed === null && field !== "rpcUrls")) continue;
    if (!Array.isArray(listed) || (field === "rpcUrls" && listed.length === 0) || !listed.every(isUrl))
      throw invalidParams(`the chain's ${field} are no list of URLs`);
  }
  return chainId(id);
}

function isUrl(value: unknown): boolean {
  return typeof value === "string" && URL.canParse(value);
}

function accessList(value: unknown): NonNullable<Transaction["accessList"]> {
  if (!Array.isArray(value)) throw invalidParams("the access list is no list");
  return value.map((item: unknown) => {
    const { address: at, storageKeys } = object(item, "an entry of the access list");
    if (!Array.isArray(storageKeys)) throw invalidParams("the storage keys are no list");
    return { address: address(at), storageKeys: storageKeys.map((key) => bytes(key, "a storage key")) };
  });
}

const QUANTITIES = [
  "value",
  "nonce",
  "gas",
  "gasPrice",
  "maxFeePerGas",
  "maxPriorityFeePerGas",
  "type",
  "chainId",
] as const;
const FIELDS: ReadonlySet<string> = new Set(["from", "to", "data", "input", "accessList", "gasLimit", ...QUANTITIES]);

/**
 * A transaction for the wallet. Every field crosses or the whole is refused: what is unknown is never dropped. `gasLimit` is `gas`, and
 * `input` is `data`.
 */
export function transaction(value: unknown, from: Hex | undefined, chain: Hex): Transaction {
  const given = object(value, "the transaction");
  const unknown = Object.keys(given).find((name) => given[name] !== undefined && !FIELDS.has(name));
  if (unknown !== undefined) throw invalidParams(`the wallet does not know the transaction's ${unknown}`);
  const sender = given.from ?? from;
  if (sender === undefined) throw invalidParams("the transaction has no sender");
  const [data, input] = [given.data, given.input].map((item) => item ?? undefined);
  if (data !== undefined && input !== undefined && data !== input) throw invalidParams("data and input differ");
  if (given.gas !== undefined && given.gasLimit !== undefined) throw invalidParams("gas is given twice");
  const result: Record<string, unknown> = { from: address(sender, "the sender") };
  // A contract's creation has no recipient; some libraries write null.
  if (given.to !== undefined && given.to !== null) result.to = address(given.to, "the recipient");
  if (data !== undefined || input !== undefined) result.data = bytes(data ?? input, "the data");
  if (given.accessList !== undefined) result.accessList = accessList(given.accessList);
  for (const name of QUANTITIES) {
    const item = name === "gas" ? (given.gas ?? given.gasLimit) : given[name];
    if (item !== undefined) result[name] = quantity(item, name);
  }
  if (result.chainId !== undefined && result.chainId !== chain) {
    throw invalidParams("the transaction is for another chain than this provider's");
  }
  return { ...result, chainId: chain } as unknown as Transaction;
}
