/** `hashStruct` and the digest of EIP-712. */

import { type Bytes, concat, utf8 } from "../../bytes.js";
import { keccak256 } from "../keccak.js";
import { DOMAIN, reachable, type Schema, type Type, typeText } from "./schema.js";
import { type TypedData, type Value, wordOf } from "./value.js";

/** `keccak256(0x1901 || hashStruct(domain) || hashStruct(message))`. */
export function typedDataDigest({ schema, primary, domain, message }: TypedData): Bytes {
  const hasher = new Hasher(schema);
  return keccak256(Uint8Array.of(0x19, 0x01), hasher.hashStruct(DOMAIN, domain), hasher.hashStruct(primary, message));
}

class Hasher {
  readonly #schema: Schema;
  /** One for each struct type, hashed once however often the type occurs. */
  readonly #typeHashes = new Map<string, Bytes>();

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  hashStruct(name: string, values: readonly Value[]): Bytes {
    const fields = this.#schema.get(name)?.fields ?? [];
    return keccak256(this.#typeHash(name), ...fields.map(({ type }, at) => this.#word(type, values[at])));
  }

  #typeHash(name: string): Bytes {
    const known = this.#typeHashes.get(name);
    if (known !== undefined) return known;
    const hash = keccak256(utf8(encodeType(this.#schema, name)));
    this.#typeHashes.set(name, hash);
    return hash;
  }

  /** The 32 bytes by which a value enters its container. */
  #word(type: Type, value: Value | undefined): Bytes {
    if (type.kind === "struct" && Array.isArray(value)) return this.hashStruct(type.name, value);
    if (type.kind === "array" && Array.isArray(value))
      return keccak256(...value.map((item) => this.#word(type.element, item)));
    if (typeof value === "bigint") return wordOf(value);
    if (typeof value === "boolean") return wordOf(value ? 1n : 0n);
    if (typeof value === "string") return keccak256(utf8(value));
    if (!(value instanceof Uint8Array)) throw new RangeError("a value that is not of its type");
    if (type.kind === "bytes") return keccak256(value);
    const padding = new Uint8Array(32 - value.length);
    return type.kind === "address" ? concat(padding, value) : concat(value, padding);
  }
}

/** The type and then all it refers to, sorted by name. */
function encodeType(schema: Schema, name: string): string {
  const others = reachable(schema, name);
  others.delete(name);
  return [name, ...[...others].sort()]
    .map((declared) => {
      const fields = schema.get(declared)?.fields ?? [];
      return `${declared}(${fields.map((field) => `${typeText(field.type)} ${field.name}`).join(",")})`;
    })
    .join("");
}
