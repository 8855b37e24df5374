/** Transactions: legacy with EIP-155, EIP-2930, EIP-1559 and EIP-7702. */

import { type Bytes, concat, equal } from "../bytes.js";
import {
  authorizationTuple,
  CHAIN_ID_MAX,
  NONCE_MAX,
  readSignedAuthorization,
  type SignedAuthorization,
} from "./authorization.js";
import { IntentError } from "./error.js";
import { keccak256 } from "./keccak.js";
import { encodeRlp, type Item, Items, RlpError } from "./rlp.js";
import { type RecoverableSignature, readScalars, recoverAddress, scalars } from "./signature.js";

/** The longest unsigned payload: what nodes accept into their pools. */
const UNSIGNED_BYTES_MAX = 128 * 1024;
/** What a signature adds at most. */
const SIGNATURE_BYTES_MAX = 80;
const ACCESS_LIST_ADDRESSES_MAX = 256;
/** Over all addresses of the list. */
const ACCESS_LIST_KEYS_MAX = 2048;
const AUTHORIZATIONS_MAX = 64;
/** The first byte from which an RLP list, and so a legacy transaction, starts. */
const LIST_START = 0xc0;
const NO_BYTES = new Uint8Array(0);

/** EIP-2930. */
export interface AccessListItem {
  readonly address: Bytes;
  readonly storageKeys: readonly Bytes[];
}

/** EIP-2718 types; prices are in wei per gas. */
export type Kind =
  | { readonly type: "legacy"; readonly gasPrice: bigint }
  | { readonly type: "accessList"; readonly gasPrice: bigint; readonly accessList: readonly AccessListItem[] }
  | ({ readonly type: "dynamicFee" } & DynamicFee)
  | ({ readonly type: "setCode"; readonly authorizations: readonly SignedAuthorization[] } & DynamicFee);

/** EIP-1559: prices in wei per gas. */
export interface DynamicFee {
  readonly maxFeePerGas: bigint;
  readonly maxPriorityFeePerGas: bigint;
  readonly accessList: readonly AccessListItem[];
}

/** A transaction without its signature. */
export interface Transaction {
  readonly chain: bigint;
  readonly nonce: bigint;
  readonly gasLimit: bigint;
  /** `undefined` creates a contract. */
  readonly to: Bytes | undefined;
  readonly value: bigint;
  readonly input: Bytes;
  readonly kind: Kind;
}

const TYPES = { accessList: 1, dynamicFee: 2, setCode: 4 } as const;

/** Reads an unsigned payload: exactly the bytes whose Keccak-256 is signed. Throws {@link IntentError}. */
export function parseUnsigned(payload: Bytes): Transaction {
  if (payload.length > UNSIGNED_BYTES_MAX) throw new IntentError("transaction_too_long");
  const transaction = reading(payload, (items, type) => {
    if (type !== undefined) return readTyped(items, type);
    const body = readLegacy(items);
    if (items.isEmpty) throw new IntentError("transaction_not_replay_protected");
    const chain = items.uint(8);
    if (items.bytes().length > 0 || items.bytes().length > 0) throw new IntentError("transaction_not_unsigned");
    return { ...body, chain };
  });
  check(transaction);
  // The reader is strict already; this makes the promise independent of it.
  if (!equal(unsignedBytes(transaction), payload)) throw new IntentError("transaction_not_canonical");
  return transaction;
}

/** The unsigned payload; throws {@link IntentError} if a field breaks a rule that the parser checks. */
export function encodeUnsigned(transaction: Transaction): Bytes {
  check(transaction);
  const payload = unsignedBytes(transaction);
  if (payload.length > UNSIGNED_BYTES_MAX) throw new IntentError("transaction_too_long");
  return payload;
}

/** A transaction as it is broadcast. */
export interface SignedTransaction {
  readonly transaction: Transaction;
  readonly sender: string;
  /** Keccak-256 of the bytes. */
  readonly hash: Bytes;
}

/** Reads an EIP-2718 envelope or a legacy transaction with EIP-155, and nothing after it. Throws {@link IntentError}. */
export function parseSigned(raw: Bytes): SignedTransaction {
  if (raw.length > UNSIGNED_BYTES_MAX + SIGNATURE_BYTES_MAX) throw new IntentError("transaction_too_long");
  let signature: RecoverableSignature | undefined;
  const transaction = reading(raw, (items, type) => {
    if (type !== undefined) {
      const typed = readTyped(items, type);
      signature = readScalars(items, items.parity());
      return typed;
    }
    const body = readLegacy(items);
    const v = items.uint(8);
    // 27 and 28 are the form without chain id.
    if (v < 35n) throw new IntentError("transaction_not_replay_protected");
    signature = readScalars(items, Number((v - 35n) & 1n));
    return { ...body, chain: (v - 35n) >> 1n };
  });
  check(transaction);
  const sender = signature && recoverAddress(signature, transactionDigest(transaction));
  if (signature === undefined || sender === undefined) throw new IntentError("transaction_signature");
  if (!equal(signedBytes(transaction, signature), raw)) throw new IntentError("transaction_not_canonical");
  return { transaction, sender, hash: keccak256(raw) };
}

/** What is signed: Keccak-256 of the unsigned payload. */
export function transactionDigest(transaction: Transaction): Bytes {
  return keccak256(unsignedBytes(transaction));
}

/** The most wei that gas can cost. */
export function feeMax({ kind, gasLimit }: Transaction): bigint {
  const price = "gasPrice" in kind ? kind.gasPrice : kind.maxFeePerGas;
  const fee = price * gasLimit;
  if (fee >= 1n << 256n) return (1n << 256n) - 1n;
  return fee;
}

export function accessListOf({ kind }: Transaction): readonly AccessListItem[] {
  return kind.type === "legacy" ? [] : kind.accessList;
}

/** Opens the list behind the type byte, if there is one, lets it be read and refuses what is left. */
function reading(bytes: Bytes, read: (items: Items, type: number | undefined) => Transaction): Transaction {
  const [first] = bytes;
  if (first === undefined) throw new IntentError("transaction_empty");
  const isLegacy = first >= LIST_START;
  if (!isLegacy && !Object.values<number>(TYPES).includes(first)) throw new IntentError("transaction_type_unknown");
  try {
    const items = Items.open(isLegacy ? bytes : bytes.slice(1));
    const transaction = read(items, isLegacy ? undefined : first);
    items.end();
    return transaction;
  } catch (error) {
    throw error instanceof RlpError ? new IntentError("transaction_malformed") : error;
  }
}

function readLegacy(items: Items): Omit<Transaction, "chain"> {
  const [nonce, gasPrice] = [items.uint(8), items.uint(16)];
  return { nonce, ...readBody(items), kind: { type: "legacy", gasPrice } };
}

function readBody(items: Items): Pick<Transaction, "gasLimit" | "to" | "value" | "input"> {
  const gasLimit = items.uint(8);
  const to = items.bytes();
  if (to.length !== 0 && to.length !== 20) throw new RlpError("an address of the wrong length");
  return { gasLimit, to: to.length === 0 ? undefined : to, value: items.uint(32), input: items.bytes() };
}

/** The fields of a typed transaction up to the signature. */
function readTyped(items: Items, type: number): Transaction {
  const [chain, nonce] = [items.uint(8), items.uint(8)];
  if (type === TYPES.accessList) {
    const gasPrice = items.uint(16);
    const body = readBody(items);
    return { chain, nonce, ...body, kind: { type: "accessList", gasPrice, accessList: readAccessList(items) } };
  }
  const [maxPriorityFeePerGas, maxFeePerGas] = [items.uint(16), items.uint(16)];
  const body = readBody(items);
  const fees = { maxFeePerGas, maxPriorityFeePerGas, accessList: readAccessList(items) };
  const kind: Kind =
    type === TYPES.setCode
      ? { type: "setCode", ...fees, authorizations: readAuthorizations(items) }
      : { type: "dynamicFee", ...fees };
  return { chain, nonce, ...body, kind };
}

function readAccessList(items: Items): AccessListItem[] {
  const list = items.list();
  const out: AccessListItem[] = [];
  let keysLeft = ACCESS_LIST_KEYS_MAX;
  while (!list.isEmpty) {
    const entry = list.list();
    const address = entry.fixed(20);
    const keys = entry.list();
    entry.end();
    const storageKeys: Bytes[] = [];
    for (; !keys.isEmpty; keysLeft -= 1) storageKeys.push(keys.fixed(32));
    out.push({ address, storageKeys });
    if (out.length > ACCESS_LIST_ADDRESSES_MAX || keysLeft < 0) throw new IntentError("access_list_too_long");
  }
  return out;
}

function readAuthorizations(items: Items): SignedAuthorization[] {
  const list = items.list();
  const out: SignedAuthorization[] = [];
  while (!list.isEmpty) {
    // Each is recovered, so the bound comes first.
    if (out.length === AUTHORIZATIONS_MAX) throw new IntentError("too_many_authorizations");
    out.push(readSignedAuthorization(list.list()));
  }
  return out;
}

/** The rules beyond the encoding. */
function check(transaction: Transaction): void {
  const { chain, nonce, kind, to } = transaction;
  if (chain <= 0n || chain > CHAIN_ID_MAX) throw new IntentError("chain_id_out_of_range");
  if (nonce < 0n || nonce > NONCE_MAX) throw new IntentError("nonce_out_of_range");
  if ("maxFeePerGas" in kind && kind.maxPriorityFeePerGas > kind.maxFeePerGas) {
    throw new IntentError("priority_fee_above_maximum");
  }
  const list = accessListOf(transaction);
  const keys = list.reduce((count, { storageKeys }) => count + storageKeys.length, 0);
  if (list.length > ACCESS_LIST_ADDRESSES_MAX || keys > ACCESS_LIST_KEYS_MAX)
    throw new IntentError("access_list_too_long");
  if (kind.type !== "setCode") return;
  if (to === undefined) throw new IntentError("recipient_missing");
  if (kind.authorizations.length === 0) throw new IntentError("authorizations_missing");
  if (kind.authorizations.length > AUTHORIZATIONS_MAX) throw new IntentError("too_many_authorizations");
}

function unsignedBytes(transaction: Transaction): Bytes {
  const { chain, kind } = transaction;
  return kind.type === "legacy" ? encodeRlp([...fields(transaction), chain, 0n, 0n]) : envelope(transaction, []);
}

function signedBytes(transaction: Transaction, signature: RecoverableSignature): Bytes {
  const { chain, kind } = transaction;
  const parity = BigInt(signature.yParity);
  if (kind.type !== "legacy") return envelope(transaction, [parity, ...scalars(signature)]);
  return encodeRlp([...fields(transaction), 2n * chain + 35n + parity, ...scalars(signature)]);
}

/** The type byte and the fields, with the signature's three at the end where there is one. */
function envelope(transaction: Transaction, signature: readonly Item[]): Bytes {
  const { kind } = transaction;
  const type = kind.type === "legacy" ? NO_BYTES : Uint8Array.of(TYPES[kind.type]);
  const access = accessListOf(transaction).map(({ address, storageKeys }) => [address, storageKeys]);
  const authorizations = kind.type === "setCode" ? [kind.authorizations.map(authorizationTuple)] : [];
  return concat(type, encodeRlp([transaction.chain, ...fields(transaction), access, ...authorizations, ...signature]));
}

/** Nonce, prices, and what all types share, in the order all types have. */
function fields({ nonce, gasLimit, to, value, input, kind }: Transaction): Item[] {
  const prices = "gasPrice" in kind ? [kind.gasPrice] : [kind.maxPriorityFeePerGas, kind.maxFeePerGas];
  return [nonce, ...prices, gasLimit, to ?? NO_BYTES, value, input];
}
