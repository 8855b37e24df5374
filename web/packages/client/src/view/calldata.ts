/** The calls that are shown in words, read from their ABI encoding. */

import { type Bytes, toHex } from "../bytes.js";

/** A known call. `transferFrom` and `approve` mean an ERC-20 amount or an ERC-721 id: one selector, two meanings. */
export type Call =
  | { readonly name: "transfer"; readonly to: Bytes; readonly amount: bigint }
  | { readonly name: "transferFrom"; readonly from: Bytes; readonly to: Bytes; readonly amount: bigint }
  | { readonly name: "approve" | "increase" | "decrease"; readonly spender: Bytes; readonly amount: bigint }
  | {
      readonly name: "permit";
      readonly owner: Bytes;
      readonly spender: Bytes;
      readonly amount: bigint;
      readonly deadline: bigint;
    }
  | { readonly name: "nft"; readonly from: Bytes; readonly to: Bytes; readonly id: bigint }
  | {
      readonly name: "multi";
      readonly from: Bytes;
      readonly to: Bytes;
      readonly items: readonly (readonly [bigint, bigint])[];
    }
  | { readonly name: "approvalForAll"; readonly operator: Bytes; readonly approved: boolean };

export type Calldata =
  | { readonly kind: "empty" }
  /** A known call, and how many bytes follow its arguments. */
  | { readonly kind: "known"; readonly call: Call; readonly extra: number }
  /** A known selector whose arguments do not fit it. */
  | { readonly kind: "malformed"; readonly signature: string }
  /** Anything else; with fewer than four bytes there is no selector. */
  | { readonly kind: "unknown"; readonly selector: string | undefined };

const WORD = 32;
const ALL = (1n << 256n) - 1n;

/** Arguments that do not fit their signature. */
class Unfit extends Error {}

/** Signature and reader of each known call, by selector: the first four bytes of the signature's Keccak-256. */
export const KNOWN: Readonly<Record<string, readonly [string, (args: Args) => Call]>> = {
  a9059cbb: ["transfer(address,uint256)", (a) => ({ name: "transfer", to: a.address(), amount: a.word() })],
  "23b872dd": [
    "transferFrom(address,address,uint256)",
    (a) => ({ name: "transferFrom", from: a.address(), to: a.address(), amount: a.word() }),
  ],
  "095ea7b3": ["approve(address,uint256)", (a) => ({ name: "approve", spender: a.address(), amount: a.word() })],
  "39509351": [
    "increaseAllowance(address,uint256)",
    (a) => ({ name: "increase", spender: a.address(), amount: a.word() }),
  ],
  a457c2d7: [
    "decreaseAllowance(address,uint256)",
    (a) => ({ name: "decrease", spender: a.address(), amount: a.word() }),
  ],
  // What older tokens call the same.
  d73dd623: [
    "increaseApproval(address,uint256)",
    (a) => ({ name: "increase", spender: a.address(), amount: a.word() }),
  ],
  d505accf: [
    "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
    (a) => {
      const [owner, spender, amount, deadline] = [a.address(), a.address(), a.word(), a.word()];
      a.signature();
      return { name: "permit", owner, spender, amount, deadline };
    },
  ],
  "8fcbaf0c": [
    "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
    (a) => {
      const [owner, spender] = [a.address(), a.address()];
      a.word();
      const [expiry, amount] = [a.word(), a.bool() ? ALL : 0n];
      a.signature();
      // An expiry of 0 is none, as in the signature itself.
      return { name: "permit", owner, spender, amount, deadline: expiry === 0n ? ALL : expiry };
    },
  ],
  "42842e0e": [
    "safeTransferFrom(address,address,uint256)",
    (a) => ({ name: "nft", from: a.address(), to: a.address(), id: a.word() }),
  ],
  b88d4fde: [
    "safeTransferFrom(address,address,uint256,bytes)",
    (a) => {
      const [from, to, id] = [a.address(), a.address(), a.word()];
      a.offset(4 * WORD);
      a.bytes();
      return { name: "nft", from, to, id };
    },
  ],
  f242432a: [
    "safeTransferFrom(address,address,uint256,uint256,bytes)",
    (a) => {
      const [from, to, id, amount] = [a.address(), a.address(), a.word(), a.word()];
      a.offset(5 * WORD);
      a.bytes();
      return { name: "multi", from, to, items: [[id, amount]] };
    },
  ],
  "2eb2c2d6": ["safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)", readBatch],
  a22cb465: [
    "setApprovalForAll(address,bool)",
    (a) => ({ name: "approvalForAll", operator: a.address(), approved: a.bool() }),
  ],
};

function readBatch(a: Args): Call {
  const [from, to] = [a.address(), a.address()];
  a.offset(5 * WORD);
  const [amountsAt, dataAt] = [a.word(), a.word()];
  const ids = a.words();
  const arrayLength = (1 + ids.length) * WORD;
  const amounts = a.words();
  a.bytes();
  const isInPlace = amountsAt === BigInt(5 * WORD + arrayLength) && dataAt === BigInt(5 * WORD + 2 * arrayLength);
  if (!isInPlace || ids.length !== amounts.length) throw new Unfit();
  return { name: "multi", from, to, items: ids.map((id, at) => [id, amounts[at] ?? 0n] as const) };
}

export function readCalldata(input: Bytes): Calldata {
  if (input.length === 0) return { kind: "empty" };
  if (input.length < 4) return { kind: "unknown", selector: undefined };
  const selector = toHex(input.subarray(0, 4));
  const known = Object.hasOwn(KNOWN, selector) ? KNOWN[selector] : undefined;
  if (known === undefined) return { kind: "unknown", selector: `0x${selector}` };
  const [signature, read] = known;
  const args = new Args(input.slice(4));
  try {
    const call = read(args);
    return { kind: "known", call, extra: args.left };
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    return { kind: "malformed", signature };
  }
}

/** Arguments, read front to back; dynamic ones only where the canonical encoding puts them. */
class Args {
  readonly #bytes: Bytes;
  #at = 0;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  word(): bigint {
    return this.#take(WORD).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  address(): Bytes {
    const word = this.#take(WORD);
    if (word.subarray(0, 12).some((byte) => byte !== 0)) throw new Unfit();
    return word.slice(12);
  }

  bool(): boolean {
    const word = this.word();
    if (word > 1n) throw new Unfit();
    return word === 1n;
  }

  /** The head of a dynamic argument whose tail must start here. */
  offset(wanted: number): void {
    if (this.word() !== BigInt(wanted)) throw new Unfit();
  }

  /** v, r, s of a permit. */
  signature(): void {
    const v = this.word();
    this.#take(2 * WORD);
    if (v > 255n) throw new Unfit();
  }

  words(): bigint[] {
    return Array.from({ length: this.#length() }, () => this.word());
  }

  /** Skips a byte string with its zero padding. */
  bytes(): void {
    const length = this.#length();
    const data = this.#take(Math.ceil(length / WORD) * WORD);
    if (data.subarray(length).some((byte) => byte !== 0)) throw new Unfit();
  }

  #length(): number {
    const length = this.word();
    if (length > BigInt(this.left)) throw new Unfit();
    return Number(length);
  }

  #take(length: number): Bytes {
    if (length > this.left) throw new Unfit();
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }
}
