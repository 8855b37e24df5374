/** The view of typed data. */

import { toHex } from "../bytes.js";
import { checksum } from "../evm/address.js";
import { type Domain, domainOf } from "../evm/typed-data/domain.js";
import type { Field, Schema, Type } from "../evm/typed-data/schema.js";
import type { TypedData, Value } from "../evm/typed-data/value.js";
import { accountPath } from "../protocol/intent.js";
import { viewPermit } from "./permit.js";
import { escapeText, hasHidden } from "./text.js";
import { type Context, chainName, Draft } from "./view.js";

export function viewTypedData(data: TypedData, account: number, chosen: bigint, context: Context): Draft {
  const domain = domainOf(data);
  const view = viewPermit(data, domain, chosen, context) ?? generic(data, domain);
  view.field("Account", accountPath(account));
  view.field("Network", chainName(chosen));
  appendDomain(view, domain);
  view.field("Primary type", data.primary);
  const walk = new Walk(view, data.schema);
  walk.fields("message", data.schema.get(data.primary)?.fields ?? [], data.message);
  if (walk.isHidden || [domain.name, domain.version].some((text) => text !== undefined && hasHidden(text))) {
    view.danger("hidden_characters", "data_hidden");
  }
  if (domain.chainId === undefined) {
    view.caution("no_chain", "data_no_chain");
  } else if (domain.chainId !== chosen) {
    const chains = { chain: chainName(domain.chainId), chosen: chainName(chosen) };
    view.danger("chain_mismatch", "data_chain", chains);
  }
  return view;
}

function generic({ primary }: TypedData, { name }: Domain): Draft {
  const view = new Draft("typed_data", "data_title");
  if (name === undefined) view.say("data_nameless", { type: primary });
  else view.say("data", { type: primary, application: escapeText(name) });
  if (primary.startsWith("Permit")) {
    view.caution("permit", "data_permit");
  } else {
    // An order of a market, a call that somebody else hands in: a contract takes by them as by a permit.
    view.caution("unknown_data", "data_unknown");
  }
  return view;
}

function appendDomain(view: Draft, { name, version, chainId, verifyingContract, salt }: Domain): void {
  if (name !== undefined) view.field("Domain name", escapeText(name));
  if (version !== undefined) view.field("Domain version", escapeText(version));
  if (chainId !== undefined) view.field("Domain chain", chainName(chainId));
  if (verifyingContract !== undefined) view.field("Domain contract", checksum(verifyingContract));
  if (salt !== undefined) view.field("Domain salt", `0x${toHex(salt)}`);
}

/** One line for every value that has no parts. */
class Walk {
  isHidden = false;
  readonly #view: Draft;
  readonly #schema: Schema;

  constructor(view: Draft, schema: Schema) {
    this.#view = view;
    this.#schema = schema;
  }

  fields(path: string, fields: readonly Field[], values: readonly Value[]): void {
    if (fields.length === 0) this.#view.field(path, "{}");
    for (const [at, { name, type }] of fields.entries()) this.#value(`${path}.${name}`, type, values[at]);
  }

  #value(path: string, type: Type, value: Value | undefined): void {
    if (type.kind === "struct" && Array.isArray(value)) {
      this.fields(path, this.#schema.get(type.name)?.fields ?? [], value);
    } else if (type.kind === "array" && Array.isArray(value)) {
      if (value.length === 0) this.#view.field(path, "[]");
      for (const [at, item] of value.entries()) this.#value(`${path}[${at}]`, type.element, item);
    } else {
      this.#view.field(path, this.#text(type, value));
    }
  }

  #text(type: Type, value: Value | undefined): string {
    if (value instanceof Uint8Array) return type.kind === "address" ? checksum(value) : `0x${toHex(value)}`;
    if (typeof value === "string") {
      this.isHidden ||= hasHidden(value);
      return escapeText(value);
    }
    return String(value);
  }
}
