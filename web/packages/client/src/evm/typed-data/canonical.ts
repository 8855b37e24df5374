/**
 * The canonical form: CBOR `[types, primaryType, domain, message]`. `types` is an array of `[name, [[field name, field type], ...]]`,
 * sorted by name bytewise. Values carry no names; their declared type says how to read them.
 */

import type { Bytes } from "../../bytes.js";
import { CborError } from "../../cbor/error.js";
import { Reader } from "../../cbor/reader.js";
import { Writer } from "../../cbor/writer.js";
import { TypedDataError } from "./error.js";
import {
  DEPTH_MAX,
  type Declared,
  DOMAIN,
  FIELDS_MAX,
  type Field,
  readSchema,
  type Schema,
  TYPES_MAX,
  type Type,
  typeText,
  VALUES_MAX,
} from "./schema.js";
import { fits, integerOf, type TypedData, type Value, wordOf } from "./value.js";

/** The longest canonical form. */
export const TYPED_DATA_BYTES_MAX = 64 * 1024;

/** Reads the canonical form; throws {@link TypedDataError}. */
export function readTypedData(bytes: Bytes): TypedData {
  if (bytes.length > TYPED_DATA_BYTES_MAX) throw new TypedDataError("too_long");
  try {
    const reader = new CanonicalReader(bytes);
    return reader.document();
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    throw new TypedDataError(error.lax === undefined ? "malformed" : "not_canonical");
  }
}

export function writeTypedData(data: TypedData): Bytes {
  const counter = new Writer();
  write(counter, data);
  const out = new Uint8Array(counter.length);
  write(new Writer(out), data);
  return out;
}

function write(writer: Writer, { schema, primary, domain, message }: TypedData): void {
  writer.array(4);
  writer.array(schema.size);
  for (const { name, fields } of schema.values()) {
    writer.array(2);
    writer.text(name);
    writer.array(fields.length);
    for (const field of fields) {
      writer.array(2);
      writer.text(field.name);
      writer.text(typeText(field.type));
    }
  }
  writer.text(primary);
  writeFields(writer, schema, schema.get(DOMAIN)?.fields ?? [], domain);
  writeFields(writer, schema, schema.get(primary)?.fields ?? [], message);
}

function writeFields(writer: Writer, schema: Schema, fields: readonly Field[], values: readonly Value[]): void {
  writer.array(fields.length);
  for (const [at, { type }] of fields.entries()) writeValue(writer, schema, type, values[at]);
}

function writeValue(writer: Writer, schema: Schema, type: Type, value: Value | undefined): void {
  if (type.kind === "struct" && Array.isArray(value))
    writeFields(writer, schema, schema.get(type.name)?.fields ?? [], value);
  else if (type.kind === "array" && Array.isArray(value)) {
    writer.array(value.length);
    for (const item of value) writeValue(writer, schema, type.element, item);
  } else if (typeof value === "bigint") writer.bytes(wordOf(value));
  else if (typeof value === "string") writer.text(value);
  else if (typeof value === "boolean") writer.bool(value);
  else if (value instanceof Uint8Array) writer.bytes(value);
  else throw new RangeError("a value that is not of its type");
}

/** Strict by its {@link Reader}; so nothing that it reads has a second encoding. */
class CanonicalReader {
  readonly #reader: Reader;
  #valuesLeft = VALUES_MAX;

  constructor(bytes: Bytes) {
    this.#reader = new Reader(bytes);
  }

  document(): TypedData {
    if (this.#reader.array() !== 4) throw new TypedDataError("malformed");
    const declared = this.#types();
    const primary = this.#reader.text();
    const schema = readSchema(declared, primary);
    const domain = this.#fields(schema, schema.get(DOMAIN)?.fields ?? [], 1);
    const message = this.#fields(schema, schema.get(primary)?.fields ?? [], 1);
    this.#reader.end();
    return { schema, primary, domain, message };
  }

  #types(): Declared {
    return this.#list(TYPES_MAX, () => [
      this.#pairStart(),
      this.#list(FIELDS_MAX, () => [this.#pairStart(), this.#reader.text()]),
    ]);
  }

  #list<T>(most: number, item: () => T): T[] {
    const count = this.#reader.array();
    if (count > most) throw new TypedDataError("too_large");
    return Array.from({ length: count }, item);
  }

  /** The text that opens an array of two. */
  #pairStart(): string {
    if (this.#reader.array() !== 2) throw new TypedDataError("malformed");
    return this.#reader.text();
  }

  #fields(schema: Schema, fields: readonly Field[], depth: number): Value[] {
    this.#count(depth);
    if (this.#reader.array() !== fields.length) throw new TypedDataError("malformed");
    return fields.map(({ type }) => this.#value(schema, type, depth + 1));
  }

  #value(schema: Schema, type: Type, depth: number): Value {
    if (type.kind === "struct") return this.#fields(schema, schema.get(type.name)?.fields ?? [], depth);
    this.#count(depth);
    switch (type.kind) {
      case "array": {
        const length = this.#reader.array();
        if (type.length !== undefined && length !== type.length) throw new TypedDataError("malformed");
        return Array.from({ length }, () => this.#value(schema, type.element, depth + 1));
      }
      case "uint":
      case "int": {
        const value = integerOf(this.#bytes(32), type);
        if (!fits(value, type)) throw new TypedDataError("malformed");
        return value;
      }
      case "address":
        return this.#bytes(20);
      case "fixedBytes":
        return this.#bytes(type.length);
      case "bytes":
        return this.#reader.bytes();
      case "string":
        return this.#reader.text();
      case "bool":
        return this.#reader.bool();
    }
  }

  #bytes(length: number): Bytes {
    const bytes = this.#reader.bytes();
    if (bytes.length !== length) throw new TypedDataError("malformed");
    return bytes;
  }

  #count(depth: number): void {
    this.#valuesLeft -= 1;
    if (this.#valuesLeft < 0 || depth > DEPTH_MAX) throw new TypedDataError("too_large");
  }
}
