/** Typed data by which somebody may take tokens: EIP-2612, DAI, ERC-4494, Permit2 and EIP-3009. */

import type { Bytes } from "../bytes.js";
import { checksum } from "../evm/address.js";
import type { Domain } from "../evm/typed-data/domain.js";
import type { Schema, Type } from "../evm/typed-data/schema.js";
import type { TypedData, Value } from "../evm/typed-data/value.js";
import { allowance, tokenAmount, until } from "./amount.js";
import { warnAllowance } from "./call.js";
import { sentence } from "./sentences.js";
import { type Context, Draft } from "./view.js";

/** The view of a permit, or `undefined` for anything else. */
export function viewPermit(data: TypedData, domain: Domain, chain: bigint, context: Context): Draft | undefined {
  const message = new Node(data.schema, data.primary, data.message);
  const reader = new Reader(domain, chain, context);
  switch (data.primary) {
    case "Permit":
      return reader.erc20(message) ?? reader.dai(message) ?? reader.erc4494(message);
    case "PermitSingle":
    case "PermitBatch":
      return reader.permit2(message, "details", "sigDeadline");
    case "PermitTransferFrom":
    case "PermitBatchTransferFrom":
    case "PermitWitnessTransferFrom":
    case "PermitBatchWitnessTransferFrom":
      return reader.permit2(message, "permitted", "deadline");
    case "TransferWithAuthorization":
    case "ReceiveWithAuthorization":
      return reader.erc3009(message);
    default:
      return undefined;
  }
}

class Reader {
  readonly #contract: Bytes | undefined;
  readonly #chain: bigint;
  readonly #context: Context;

  constructor({ verifyingContract }: Domain, chain: bigint, context: Context) {
    this.#contract = verifyingContract;
    this.#chain = chain;
    this.#context = context;
  }

  /** EIP-2612: `Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)`. */
  erc20(message: Node): Draft | undefined {
    const [spender, value, deadline] = [message.address("spender"), message.uint("value"), message.uint("deadline")];
    if (!spender || value === undefined || deadline === undefined || !message.address("owner")) return undefined;
    return this.#single(spender, value, deadline);
  }

  /** DAI: `Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)`; an expiry of 0 is none. */
  dai(message: Node): Draft | undefined {
    const [spender, allowed, expiry] = [message.address("spender"), message.bool("allowed"), message.uint("expiry")];
    if (!spender || allowed === undefined || expiry === undefined || !message.address("holder")) return undefined;
    const most = (1n << 256n) - 1n;
    return this.#single(spender, allowed ? most : 0n, expiry === 0n ? most : expiry);
  }

  /** ERC-4494: `Permit(address spender,uint256 tokenId,uint256 nonce,uint256 deadline)`. */
  erc4494(message: Node): Draft | undefined {
    const [spender, id, deadline] = [message.address("spender"), message.uint("tokenId"), message.uint("deadline")];
    if (!spender || id === undefined || deadline === undefined || !this.#contract) return undefined;
    const view = start();
    view.say("permit_nft", { spender: checksum(spender), id: `${id}`, collection: checksum(this.#contract) });
    return finish(view, deadline);
  }

  /** Permit2, allowance and signature transfers, one or several tokens. */
  permit2(message: Node, items: string, deadlineName: string): Draft | undefined {
    const [spender, deadline, nodes] = [message.address("spender"), message.uint(deadlineName), message.nodes(items)];
    if (!spender || deadline === undefined || !nodes) return undefined;
    const view = start();
    for (const item of nodes) {
      const [token, value, expiration] = [item.address("token"), item.uint("amount"), item.uint("expiration")];
      if (!token || value === undefined) return undefined;
      this.#sayAllowance(view, token, spender, value);
      if (expiration !== undefined) view.say("permit_holds", { until: until(expiration) });
    }
    return finish(view, deadline);
  }

  /** EIP-3009: a transfer that anybody, or the recipient, may hand in. */
  erc3009(message: Node): Draft | undefined {
    const [from, to] = [message.address("from"), message.address("to")];
    const [value, deadline] = [message.uint("value"), message.uint("validBefore")];
    if (!from || !to || value === undefined || deadline === undefined || !this.#contract) return undefined;
    const view = start();
    view.title = sentence("permit_send_title");
    const what = tokenAmount(value, this.#chain, this.#contract, this.#context);
    view.say("send_from", { what, from: checksum(from), to: checksum(to) });
    return finish(view, deadline);
  }

  #single(spender: Bytes, value: bigint, deadline: bigint): Draft | undefined {
    if (!this.#contract) return undefined;
    const view = start();
    this.#sayAllowance(view, this.#contract, spender, value);
    return finish(view, deadline);
  }

  #sayAllowance(view: Draft, token: Bytes, spender: Bytes, value: bigint): void {
    const limit = allowance(value, this.#chain, token, this.#context);
    view.say("allow", { spender: checksum(spender), limit });
    warnAllowance(view, spender, value);
  }
}

function start(): Draft {
  return new Draft("permit", "permit_title");
}

function finish(view: Draft, deadline: bigint): Draft {
  view.say("permit_until", { until: until(deadline) });
  view.danger("permit", "permit_warning");
  return view;
}

/** A struct value with its type. */
class Node {
  readonly #schema: Schema;
  readonly #name: string;
  readonly #values: readonly Value[];

  constructor(schema: Schema, name: string, values: readonly Value[]) {
    this.#schema = schema;
    this.#name = name;
    this.#values = values;
  }

  address(name: string): Bytes | undefined {
    const { type, value } = this.#get(name);
    return type?.kind === "address" && value instanceof Uint8Array ? value : undefined;
  }

  uint(name: string): bigint | undefined {
    const { type, value } = this.#get(name);
    return type?.kind === "uint" && typeof value === "bigint" ? value : undefined;
  }

  bool(name: string): boolean | undefined {
    const { value } = this.#get(name);
    return typeof value === "boolean" ? value : undefined;
  }

  /** A struct, or an array of structs, as a list. */
  nodes(name: string): Node[] | undefined {
    const { type, value } = this.#get(name);
    if (!Array.isArray(value)) return undefined;
    if (type?.kind === "struct") return [new Node(this.#schema, type.name, value)];
    if (type?.kind !== "array" || type.element.kind !== "struct")
      return type?.kind === "array" && value.length === 0 ? [] : undefined;
    const { element } = type;
    return value.filter(Array.isArray).map((item) => new Node(this.#schema, element.name, item));
  }

  #get(name: string): { type?: Type; value?: Value } {
    const fields = this.#schema.get(this.#name)?.fields ?? [];
    const at = fields.findIndex((field) => field.name === name);
    const [type, value] = [fields[at]?.type, this.#values[at]];
    return type === undefined || value === undefined ? {} : { type, value };
  }
}
