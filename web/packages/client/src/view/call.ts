/** The view of a known call. */

import { type Bytes, equal } from "../bytes.js";
import { checksum } from "../evm/address.js";
import { allowance, deadline, isUnlimited, tokenAmount } from "./amount.js";
import type { Call } from "./calldata.js";
import { english, type Sentence, type SentenceKey, sentence, type Value } from "./sentences.js";
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
    view.danger("lost_funds", "zero_address");
  } else if (contract !== undefined && equal(contract, to)) {
    view.danger("lost_funds", "own_contract");
  }
}

/** Warns of an allowance of `amount` for `spender`. */
export function warnAllowance(view: Draft, spender: Bytes, amount: bigint): void {
  const who = { spender: checksum(spender) };
  if (isUnlimited(amount)) view.danger("unlimited_approval", "unlimited_warning", who);
  else if (amount !== 0n) view.caution("approval", "allowance_warning", who);
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
    const what = isEither ? sentence("units_or_nft", { value: `${value}`, token: contract }) : this.#amount(value);
    const view = new Draft("token_transfer", isKnown ? "send_title" : "tokens_title", isKnown ? { what } : {});
    if (from === undefined) view.say("send", { what, to: checksum(to) });
    else view.say("send_from", { what, from: checksum(from), to: checksum(to) });
    view.field("Token", contract);
    if (from !== undefined) view.field("From", checksum(from));
    view.field("Recipient", checksum(to));
    view.field(isEither ? "Amount or id" : "Amount", english(what));
    warnRecipient(view, to, this.#contract);
    return view;
  }

  approve(spender: Bytes, value: bigint): Draft {
    const view = this.#allowance("allow_title", spender, value);
    const who = { spender: checksum(spender) };
    const limit = this.#limit(value);
    const isKnown = this.#token() !== undefined;
    // On a collection (ERC-721) the number is an NFT's, and zero one like any other; only a known token tells which. The zero address is nobody.
    if (value === 0n && !isKnown && spender.some((byte) => byte !== 0)) {
      view.title = sentence("take_back_or_nft_title");
      view.say("take_back_or_nft", { ...who, token: this.#tokenName() });
      view.caution("approval", "nft_zero_warning", who);
    } else if (value === 0n) {
      view.title = sentence("take_back_title");
      view.say("take_back", { ...who, token: this.#tokenName() });
    } else if (isKnown || value === (1n << 256n) - 1n) {
      view.say("allow", { ...who, limit });
    } else {
      view.say("allow", { ...who, limit: sentence("limit_or_nft", { limit, id: `${value}` }) });
    }
    return view;
  }

  increase(spender: Bytes, value: bigint): Draft {
    const view = this.#allowance("allow_more_title", spender, value);
    view.say("allow_more", { spender: checksum(spender), limit: this.#limit(value) });
    return view;
  }

  decrease(spender: Bytes, value: bigint): Draft {
    const view = this.#allowance("allow_less_title", spender, value);
    view.warnings = [];
    view.say("allow_less", { spender: checksum(spender), amount: this.#amount(value) });
    return view;
  }

  permit(owner: Bytes, spender: Bytes, value: bigint, end: bigint): Draft {
    const view = this.#allowance("hand_in_title", spender, value);
    const [own, other] = [checksum(owner), checksum(spender)];
    view.say("hand_in", { owner: own, spender: other, limit: this.#limit(value) });
    view.field("Owner", checksum(owner));
    view.field("Deadline", deadline(end));
    return view;
  }

  nft(from: Bytes, to: Bytes, id: bigint): Draft {
    const view = new Draft("nft_transfer", "nft_title");
    const collection = checksum(this.#contract);
    view.say("nft", { id: `${id}`, collection, from: checksum(from), to: checksum(to) });
    view.field("Collection", collection);
    view.field("From", checksum(from));
    view.field("Recipient", checksum(to));
    view.field("Id", id.toString());
    warnRecipient(view, to, this.#contract);
    return view;
  }

  multi(from: Bytes, to: Bytes, items: readonly (readonly [bigint, bigint])[]): Draft {
    const view = new Draft("nft_transfer", "multi_title");
    const collection = checksum(this.#contract);
    const [only, ...others] = items;
    const way = { collection, from: checksum(from), to: checksum(to) };
    if (only !== undefined && others.length === 0)
      view.say("multi_one", { amount: `${only[1]}`, id: `${only[0]}`, ...way });
    else view.say("multi", { kinds: `${items.length}`, ...way });
    view.field("Collection", collection);
    view.field("From", checksum(from));
    view.field("Recipient", checksum(to));
    for (const [id, amount] of items) view.field(`Id ${id}`, `${amount} units`);
    warnRecipient(view, to, this.#contract);
    return view;
  }

  approvalForAll(operator: Bytes, approved: boolean): Draft {
    const who = { operator: checksum(operator), collection: checksum(this.#contract) };
    const view = new Draft("approval_for_all", "collection_title");
    if (approved) {
      view.say("collection", who);
      view.danger("approval_for_all", "collection_warning", who);
    } else {
      view.title = sentence("collection_back_title");
      view.say("collection_back", who);
    }
    view.field("Collection", who.collection);
    view.field("Operator", who.operator);
    view.field("Approved", String(approved));
    return view;
  }

  #allowance(title: SentenceKey, spender: Bytes, value: bigint): Draft {
    const view = new Draft("token_approval", title);
    view.field("Token", checksum(this.#contract));
    view.field("Spender", checksum(spender));
    view.field("Amount", isUnlimited(value) ? "unlimited" : english(this.#amount(value)));
    warnAllowance(view, spender, value);
    return view;
  }

  #token() {
    return tokenAt(this.#context, this.#chain, this.#contract);
  }

  #tokenName(): Value {
    const token = this.#token();
    return token === undefined ? sentence("token_at", { token: checksum(this.#contract) }) : escapeText(token.symbol);
  }

  #amount(value: bigint): Value {
    return tokenAmount(value, this.#chain, this.#contract, this.#context);
  }

  #limit(value: bigint): Sentence {
    return allowance(value, this.#chain, this.#contract, this.#context);
  }
}
