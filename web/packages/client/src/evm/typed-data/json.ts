/** The JSON of `eth_signTypedData_v4`, read without ever guessing. */

import { type Bytes, fromHex, utf8 } from "../../bytes.js";
import { parseAddress } from "../address.js";
import { TYPED_DATA_BYTES_MAX, writeTypedData } from "./canonical.js";
import { INEXACT, type Json, parseJson } from "./document.js";
import { type Problem, TypedDataError } from "./error.js";
import {
  baseName,
  DEPTH_MAX,
  type Declared,
  DOMAIN,
  type Field,
  readSchema,
  type Schema,
  type Type,
  VALUES_MAX,
} from "./schema.js";
import { fits, type TypedData, type Value } from "./value.js";

/** The longest JSON that a client reads; its names and hex digits take more room than the canonical form. */
const JSON_BYTES_MAX = 256 * 1024;
/** The largest integer up to which every JSON reader agrees. */
const EXACT_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Refuses duplicate keys anywhere, fields that are not declared or missing, numbers that are not exact integers within 2^53, and
 * whatever does not fit its type exactly. Struct types that nothing refers to are dropped, since they do not enter the digest.
 * Throws {@link TypedDataError}.
 */
export function readJson(text: string): TypedData {
  if (utf8(text).length > JSON_BYTES_MAX) throw new TypedDataError("too_long");
  const reader = new JsonReader();
  const root = reader.members(parseJson(text), ["types", "primaryType", "domain", "message"]);
  const primary = reader.within("primaryType", () => reader.string(root.primaryType));
  const declared = reader.within("types", () => reader.types(root.types));
  const schema = readSchema(used(declared, primary), primary);
  const fields = (name: string, json: Json) => reader.fields(schema, schema.get(name)?.fields ?? [], json, 1);
  const domain = reader.within("domain", () => fields(DOMAIN, root.domain));
  const message = reader.within("message", () => fields(primary, root.message));
  const data = { schema, primary, domain, message };
  if (writeTypedData(data).length > TYPED_DATA_BYTES_MAX) throw new TypedDataError("too_long");
  return data;
}

/** Sorts the types by name and drops those that neither the domain nor the primary type refers to. */
function used(declared: Declared, primary: string): Declared {
  const byName = new Map(declared);
  const reached = new Set([DOMAIN, primary]);
  // A set's iterator also visits what is added on the way.
  for (const name of reached) {
    for (const [, type] of byName.get(name) ?? []) reached.add(baseName(type));
  }
  return declared.filter(([name]) => reached.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Walks the document and remembers where it stands. */
class JsonReader {
  readonly #path: string[] = [];
  #valuesLeft = VALUES_MAX;

  within<T>(step: string, read: () => T): T {
    this.#path.push(step);
    const value = read();
    this.#path.pop();
    return value;
  }

  string(json: Json): string {
    if (typeof json !== "string") throw this.#kind(json);
    return json;
  }

  /** Exactly these members of an object. */
  members<const N extends string>(json: Json, names: readonly N[]): Record<N, Json> {
    const members = this.#object(json);
    for (const name of members.keys()) {
      if (!names.includes(name as N)) throw this.#at("undeclared", name);
    }
    return Object.fromEntries(names.map((name) => [name, this.#member(members, name)])) as Record<N, Json>;
  }

  types(json: Json): Declared {
    return [...this.#object(json)].map(([name, fields]) => {
      const read = () =>
        this.#array(fields).map((field) => {
          const { name, type } = this.members(field, ["name", "type"]);
          return [this.string(name), this.string(type)] as const;
        });
      return [name, this.within(name, read)] as const;
    });
  }

  fields(schema: Schema, fields: readonly Field[], json: Json, depth: number): Value[] {
    this.#count(depth);
    const members = this.#object(json);
    const names = new Set(fields.map(({ name }) => name));
    for (const name of members.keys()) {
      if (!names.has(name)) throw this.#at("undeclared", name);
    }
    return fields.map(({ name, type }) => {
      const member = this.#member(members, name);
      return this.within(name, () => this.#value(schema, type, member, depth + 1));
    });
  }

  #value(schema: Schema, type: Type, json: Json, depth: number): Value {
    if (type.kind === "struct") return this.fields(schema, schema.get(type.name)?.fields ?? [], json, depth);
    this.#count(depth);
    switch (type.kind) {
      case "uint":
      case "int": {
        const value = this.#integer(json);
        if (!fits(value, type)) throw this.#at("out_of_range");
        return value;
      }
      case "address": {
        const address = parseAddress(this.string(json));
        if (typeof address !== "string") return address;
        throw this.#at(address === "malformed" ? "not_hex" : "wrong_checksum");
      }
      case "fixedBytes": {
        const bytes = this.#hex(json);
        if (bytes.length !== type.length) throw this.#at("wrong_length");
        return bytes;
      }
      case "bytes":
        return this.#hex(json);
      case "string":
        return this.string(json);
      case "bool":
        if (typeof json !== "boolean") throw this.#kind(json);
        return json;
      case "array": {
        const items = this.#array(json);
        if (type.length !== undefined && items.length !== type.length) throw this.#at("wrong_length");
        return items.map((item, at) =>
          this.within(String(at), () => this.#value(schema, type.element, item, depth + 1)),
        );
      }
    }
  }

  #integer(json: Json): bigint {
    if (json === INEXACT) throw this.#at("inexact_number");
    if (typeof json === "bigint") {
      if (json > EXACT_MAX || json < -EXACT_MAX) throw this.#at("inexact_number");
      return json;
    }
    const text = this.string(json);
    // `0x` and hex digits, or plain decimal with neither a leading zero nor a plus.
    const match = /^(?:0x[0-9a-fA-F]+|(-?)(?:0|[1-9][0-9]*))$/.exec(text);
    if (match === null || text === "-0") throw this.#at("not_an_integer");
    return match[1] === "-" ? -BigInt(text.slice(1)) : BigInt(text);
  }

  #hex(json: Json): Bytes {
    const text = this.string(json);
    const bytes = text.startsWith("0x") ? fromHex(text.slice(2)) : undefined;
    if (bytes === undefined) throw this.#at("not_hex");
    return bytes;
  }

  #object(json: Json): ReadonlyMap<string, Json> {
    if (!(json instanceof Map)) throw this.#kind(json);
    return json;
  }

  #array(json: Json): readonly Json[] {
    if (!Array.isArray(json)) throw this.#kind(json);
    return json;
  }

  #member(members: ReadonlyMap<string, Json>, name: string): Json {
    const member = members.get(name);
    if (member === undefined) throw this.#at("missing", name);
    return member;
  }

  #kind(json: Json): TypedDataError {
    return this.#at(json === null ? "null" : "wrong_kind");
  }

  #at(problem: Problem, ...steps: readonly string[]): TypedDataError {
    return new TypedDataError(problem, [...this.#path, ...steps].join("."));
  }

  #count(depth: number): void {
    this.#valuesLeft -= 1;
    if (this.#valuesLeft < 0 || depth > DEPTH_MAX) throw this.#at("too_large");
  }
}
