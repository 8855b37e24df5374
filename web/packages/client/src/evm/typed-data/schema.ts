/** The declared types of typed data (EIP-712). */

import { utf8 } from "../../bytes.js";
import { TypedDataError } from "./error.js";

/** Most struct types, `EIP712Domain` included. */
export const TYPES_MAX = 64;
/** Most fields of one struct type. */
export const FIELDS_MAX = 64;
/** The longest name of a type or field, and the longest type expression, in bytes. */
const NAME_BYTES_MAX = 256;
/** Most values in domain and message together, containers counted. */
export const VALUES_MAX = 8192;
/** How deep arrays and structs may nest, in values as in type expressions. */
export const DEPTH_MAX = 16;

/** The struct type that names the application. */
export const DOMAIN = "EIP712Domain";

export type Type =
  | { readonly kind: "uint" | "int"; readonly bits: number }
  | { readonly kind: "fixedBytes"; readonly length: number }
  | { readonly kind: "address" | "bytes" | "string" | "bool" }
  | { readonly kind: "array"; readonly element: Type; readonly length: number | undefined }
  | { readonly kind: "struct"; readonly name: string };

export interface Field {
  readonly name: string;
  readonly type: Type;
}

export interface StructType {
  readonly name: string;
  readonly fields: readonly Field[];
}

/** All struct types by name, sorted bytewise; each is reachable from the domain or the primary type. */
export type Schema = ReadonlyMap<string, StructType>;

/** Types as they are written. */
export type Declared = readonly (readonly [string, readonly (readonly [string, string])[]])[];

/** Checks the declared types, sorted by name. */
export function readSchema(declared: Declared, primary: string): Schema {
  if (declared.length > TYPES_MAX) throw new TypedDataError("too_large");
  for (const [name, fields] of declared) checkDeclared(name, fields);
  const names = declared.map(([name]) => name);
  // Names are ASCII by now, so the order of code units is the order of bytes.
  if (names.some((name, at) => at > 0 && (names[at - 1] ?? "") >= name)) throw new TypedDataError("duplicate_name");
  const known = new Set(names);
  const schema: Schema = new Map(
    declared.map(([name, fields]) => [
      name,
      { name, fields: fields.map(([field, text]) => ({ name: field, type: parseType(text, known) })) },
    ]),
  );
  checkDomain(schema);
  if (primary === DOMAIN || !schema.has(primary)) throw new TypedDataError("invalid_primary_type");
  const reached = reachable(schema, primary);
  checkColons(schema, primary, reached.size);
  for (const name of reachable(schema, DOMAIN)) reached.add(name);
  if (reached.size !== schema.size) throw new TypedDataError("unused_type");
  checkFinite(schema);
  return schema;
}

function checkDeclared(name: string, fields: readonly (readonly [string, string])[]): void {
  checkStructName(name);
  if (fields.length > FIELDS_MAX) throw new TypedDataError("too_large");
  const seen = new Set<string>();
  for (const [field] of fields) {
    checkIdentifier(field);
    if (seen.has(field)) throw new TypedDataError("duplicate_name");
    seen.add(field);
  }
}

/** The struct type at `start` and all it refers to, directly or not. */
export function reachable(schema: Schema, start: string): Set<string> {
  const found = new Set([start]);
  // A set's iterator also visits what is added on the way.
  for (const name of found) {
    for (const { type } of schema.get(name)?.fields ?? []) {
      const inner = structName(type);
      if (inner !== undefined) found.add(inner);
    }
  }
  return found;
}

/** The struct type it is or has as its elements. */
function structName(type: Type): string | undefined {
  if (type.kind === "array") return structName(type.element);
  return type.kind === "struct" ? type.name : undefined;
}

/** Names and types of the standard, each once, in any order: contracts exist that hash them in another than the listed one. */
function checkDomain(schema: Schema): void {
  const domain = schema.get(DOMAIN);
  if (domain === undefined) throw new TypedDataError("missing_domain");
  const standard: Record<string, string> = {
    name: "string",
    version: "string",
    chainId: "uint256",
    verifyingContract: "address",
    salt: "bytes32",
  };
  const isStandard = ({ name, type }: Field) => Object.hasOwn(standard, name) && standard[name] === typeText(type);
  if (domain.fields.length === 0 || !domain.fields.every(isStandard)) throw new TypedDataError("invalid_domain");
}

/**
 * A large exchange names its types `Exchange:Action`. Implementations agree on such a name only where it is the primary type's and
 * that type is built of built-in types alone.
 */
function checkColons(schema: Schema, primary: string, reached: number): void {
  for (const name of schema.keys()) {
    if (name.includes(":") && !(name === primary && reached === 1)) throw new TypedDataError("invalid_name");
  }
}

/** Refuses types that contain themselves by value: no document could hold one. */
function checkFinite(schema: Schema): void {
  const byValue = (type: Type): string | undefined => {
    if (type.kind === "array") return type.length === undefined ? undefined : byValue(type.element);
    return type.kind === "struct" ? type.name : undefined;
  };
  const settled = new Set<string>();
  for (let before = -1; before < settled.size; ) {
    before = settled.size;
    for (const { name, fields } of schema.values()) {
      const inner = fields.map(({ type }) => byValue(type)).filter((found) => found !== undefined);
      if (inner.every((found) => settled.has(found))) settled.add(name);
    }
  }
  if (settled.size !== schema.size) throw new TypedDataError("recursive_type");
}

/** How a type is written. */
export function typeText(type: Type): string {
  switch (type.kind) {
    case "uint":
    case "int":
      return `${type.kind}${type.bits}`;
    case "fixedBytes":
      return `bytes${type.length}`;
    case "array":
      return `${typeText(type.element)}[${type.length ?? ""}]`;
    case "struct":
      return type.name;
    default:
      return type.kind;
  }
}

/** The struct type's name that a type expression starts with. */
export function baseName(text: string): string {
  return text.split("[")[0] ?? "";
}

function parseType(text: string, names: ReadonlySet<string>): Type {
  if (utf8(text).length > NAME_BYTES_MAX) throw new TypedDataError("invalid_name");
  const base = baseName(text);
  let type = builtin(base);
  if (type === undefined) {
    if (!names.has(base)) throw new TypedDataError("undeclared_type");
    type = { kind: "struct", name: base };
  }
  let depth = 0;
  let suffix = text.slice(base.length);
  while (suffix.startsWith("[")) {
    depth += 1;
    if (depth > DEPTH_MAX) throw new TypedDataError("too_large");
    const end = suffix.indexOf("]");
    if (end < 0) throw new TypedDataError("invalid_name");
    const length = suffix.slice(1, end);
    type = { kind: "array", element: type, length: length === "" ? undefined : arrayLength(length) };
    suffix = suffix.slice(end + 1);
  }
  if (suffix !== "") throw new TypedDataError("invalid_name");
  return type;
}

function builtin(text: string): Type | undefined {
  if (text === "address" || text === "bool" || text === "string" || text === "bytes") return { kind: text };
  const match = /^(uint|int|bytes)([1-9][0-9]{0,2})$/.exec(text);
  if (match === null) return undefined;
  const [, stem, digits] = match;
  const size = Number(digits);
  if (stem === "bytes") return size <= 32 ? { kind: "fixedBytes", length: size } : undefined;
  return size % 8 === 0 && size <= 256 ? { kind: stem as "uint" | "int", bits: size } : undefined;
}

function arrayLength(text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(text) || Number(text) > 0xffff) throw new TypedDataError("invalid_name");
  if (Number(text) > VALUES_MAX) throw new TypedDataError("too_large");
  return Number(text);
}

/** A field's name. */
function checkIdentifier(name: string): void {
  if (name.length > NAME_BYTES_MAX || !/^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name))
    throw new TypedDataError("invalid_name");
}

/** A struct type's name. No dollar: implementations disagree on what such a type refers to. */
function checkStructName(name: string): void {
  if (name.length > NAME_BYTES_MAX || name.includes("$")) throw new TypedDataError("invalid_name");
  name.split(":").forEach(checkIdentifier);
  // Everything that looks like a built-in type is reserved, `uint`, `int7` and `bytes33` included.
  const isReserved = /^(address|bool|string|function|bytes|uint|int|fixed|ufixed)[0-9]*$/.test(name);
  if (isReserved) throw new TypedDataError("invalid_name");
}
