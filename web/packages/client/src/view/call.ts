/** The view of a known call. */

import { type Bytes, equal } from "../bytes.js";
import { checksum } from "../evm/address.js";
import { allowance, deadline, isUnlimited, tokenAmount } from "./amount.js";
import type { Call } from "./calldata.js";
import { escapeText } from "./text.js";
import { type Context, Draft, tokenAt } from "./view.js";

/** The view of `call` on `contract`, without what all transactions have. */
export function viewCall(call: Call, chain: bigint, contract: Bytes, context: Context): Draft {
  const reader = new Reader(chain, contract, context);
  switch (call.name) {
    case "transfer":
      return reader.transfer(undefined, call.to, call.amount);
    case "transferFrom":
      return reader.transfer(call.from, call.to, call.amount);
    case "approve":
      return reader.approve(call.spender, call.amount);
    case "increase":
      return reader.increase(call.spender, call.amount);
    case "decrease":
      return reader.decrease(call.spender, call.amount);
    case "permit":
      return reader.permit(call.owner, call.spender, call.amount, call.deadline);
    case "nft":
      return reader.nft(call.from, call.to, call.id);
    case "multi":
      return reader.multi(call.from, call.to, call.items);
    case "approvalForAll":
      return reader.approvalForAll(call.operator, call.approved);
  }
}

/** Warns of recipients from which nothing comes back. */
export function warnRecipient(view: Draft, to: Bytes, contract?: Bytes): void {
  if (to.every((byte) => byte === 0)) {
    view.danger("lost_funds", "The recipient is the zero address: what is sent there is lost.");
  } else if (contract !== undefined && equal(contract, to)) {
    view.danger("lost_funds", "The recipient is the token's own contract: what is sent there is mostly lost.");
  }
}

/** Warns of an allowance of `amount` for `spender`. */
export function warnAllowance(view: Draft, spender: Bytes, amount: bigint): void {
  const spelled = checksum(spender);
  if (isUnlimited(amount)) {
    view.danger("unlimited_approval", `No limit: ${spelled} can take all of this token, now and whatever comes later.`);
  } else if (amount !== 0n) {
    view.caution("approval", `${spelled} can take this amount at any time.`);
  }
}

class Reader {
  readonly #chain: bigint;
  readonly #contract: Bytes;
  readonly #context: Context;

  constructor(chain: bigint, contract: Bytes, context: Context) {
    this.#chain = chain;
    this.#contract = contract;
    this.#context = context;
  }

  transfer(from: Bytes | undefined, to: Bytes, value: bigint): Draft {
    const isKnown = this.#token() !== undefined;
    // `transferFrom` moves an amount of an ERC-20 or the one NFT of that id; only a known token tells which.
    const isEither = from !== undefined && !isKnown;
    const contract = checksum(this.#contract);
    const what = isEither ? `${value} units, or the NFT ${value}, of token ${contract}` : this.#amount(value);
    const view = new Draft("token_transfer", isKnown ? `Send ${what}` : "Send tokens");
    view.say(`Send ${what} ${from === undefined ? "" : `from ${checksum(from)} `}to ${checksum(to)}.`);
    view.field("Token", contract);
    if (from !== undefined) view.field("From", checksum(from));
    view.field("Recipient", checksum(to));
    view.field(isEither ? "Amount or id" : "Amount", what);
    warnRecipient(view, to, this.#contract);
    return view;
  }

  approve(spender: Bytes, value: bigint): Draft {
    const view = this.#allowance("Allow spending tokens", spender, value);
    if (value === 0n) {
      view.title = "Take back an allowance";
      view.say(`${checksum(spender)} may no longer take ${this.#tokenName()}.`);
    } else if (this.#token() !== undefined || isUnlimited(value)) {
      view.say(`Allow ${checksum(spender)} to take ${this.#limit(value)}.`);
    } else {
      view.say(`Allow ${checksum(spender)} to take ${this.#limit(value)}, or the NFT ${value}.`);
    }
    return view;
  }

  increase(spender: Bytes, value: bigint): Draft {
    const view = this.#allowance("Allow spending more tokens", spender, value);
    view.say(`Allow ${checksum(spender)} to take, on top of what it may already, ${this.#limit(value)}.`);
    return view;
  }

  decrease(spender: Bytes, value: bigint): Draft {
    const view = this.#allowance("Lower an allowance", spender, value);
    view.warnings = [];
    view.say(`Lower what ${checksum(spender)} may take by ${this.#amount(value)}.`);
    return view;
  }

  permit(owner: Bytes, spender: Bytes, value: bigint, end: bigint): Draft {
    const view = this.#allowance("Hand in a permit", spender, value);
    view.say(`Hand in a signature by which ${checksum(owner)} lets ${checksum(spender)} take ${this.#limit(value)}.`);
    view.field("Owner", checksum(owner));
    view.field("Deadline", deadline(end));
    return view;
  }

  nft(from: Bytes, to: Bytes, id: bigint): Draft {
    const view = new Draft("nft_transfer", "Send an NFT");
    const collection = checksum(this.#contract);
    view.say(`Send the NFT ${id} of ${collection} from ${checksum(from)} to ${checksum(to)}.`);
    view.field("Collection", collection);
    view.field("From", checksum(from));
    view.field("Recipient", checksum(to));
    view.field("Id", id.toString());
    warnRecipient(view, to, this.#contract);
    return view;
  }

  multi(from: Bytes, to: Bytes, items: readonly (readonly [bigint, bigint])[]): Draft {
    const view = new Draft("nft_transfer", "Send collection tokens");
    const collection = checksum(this.#contract);
    const [only, ...others] = items;
    const isOne = only !== undefined && others.length === 0;
    const what = isOne ? `${only[1]} units of the token ${only[0]}` : `${items.length} kinds of token`;
    view.say(`Send ${what} of ${collection} from ${checksum(from)} to ${checksum(to)}.`);
    view.field("Collection", collection);
    view.field("From", checksum(from));
    view.field("Recipient", checksum(to));
    for (const [id, amount] of items) view.field(`Id ${id}`, `${amount} units`);
    warnRecipient(view, to, this.#contract);
    return view;
  }

  approvalForAll(operator: Bytes, approved: boolean): Draft {
    const [collection, spelled] = [checksum(this.#contract), checksum(operator)];
    const view = new Draft("approval_for_all", "Allow taking a whole collection");
    if (approved) {
      view.say(`Allow ${spelled} to take every token you hold in ${collection}.`);
      const text = `${spelled} can take every token of this collection, now and whatever comes later.`;
      view.danger("approval_for_all", text);
    } else {
      view.title = "Take back the allowance for a collection";
      view.say(`${spelled} may no longer take your tokens in ${collection}.`);
    }
    view.field("Collection", collection);
    view.field("Operator", spelled);
    view.field("Approved", String(approved));
    return view;
  }

  #allowance(title: string, spender: Bytes, value: bigint): Draft {
    const view = new Draft("token_approval", title);
    view.field("Token", checksum(this.#contract));
    view.field("Spender", checksum(spender));
    view.field("Amount", isUnlimited(value) ? "unlimited" : this.#amount(value));
    warnAllowance(view, spender, value);
    return view;
  }

  #token() {
    return tokenAt(this.#context, this.#chain, this.#contract);
  }

  #tokenName(): string {
    const token = this.#token();
    return token === undefined ? `token ${checksum(this.#contract)}` : escapeText(token.symbol);
  }

  #amount(value: bigint): string {
    return tokenAmount(value, this.#chain, this.#contract, this.#context);
  }

  #limit(value: bigint): string {
    return allowance(value, this.#chain, this.#contract, this.#context);
  }
}
