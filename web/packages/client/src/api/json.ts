/** JSON answers, read once into typed values. Unknown members are ignored, so that an older client reads a newer server. */

import { type Bytes, fromHex } from "../bytes.js";
import { ApiError } from "./error.js";

/** Takes a JSON value apart; throws {@link ApiError} with code `answer_malformed`. */
export type Shape<T> = (json: unknown) => T;
export type Read<S> = S extends Shape<infer T> ? T : never;

function malformed(what: string): ApiError {
  return ApiError.fault("answer_malformed", `the server's answer is not understood (${what})`);
}

function of<T>(what: string, take: (json: unknown) => T | undefined): Shape<T> {
  return (json) => {
    const value = take(json);
    if (value === undefined) throw malformed(what);
    return value;
  };
}

export const string = of("text", (json) => (typeof json === "string" ? json : undefined));
export const boolean = of("boolean", (json) => (typeof json === "boolean" ? json : undefined));
/** A count or a time that a `number` holds exactly. */
export const natural = of("number", (json) =>
  Number.isSafeInteger(json) && (json as number) >= 0 ? (json as number) : undefined,
);
/** An amount: a decimal string of at most 256 bits. */
export const amount = of("amount", (json) => {
  if (typeof json !== "string" || !/^(0|[1-9][0-9]{0,77})$/.test(json)) return undefined;
  const value = BigInt(json);
  return value < 1n << 256n ? value : undefined;
});
/** A network's CAIP-2 id, that of an EVM chain with its number as it is written in one way alone. */
export const network = of("network", (json) => {
  if (typeof json !== "string" || !/^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}$/.test(json)) return undefined;
  const [namespace, reference = ""] = json.split(":");
  const isChain = /^[1-9][0-9]{0,19}$/.test(reference) && BigInt(reference) < 1n << 64n;
  return namespace !== "eip155" || isChain ? json : undefined;
});
/** Bytes in hex without a prefix, the API's form of everything but EVM values. */
export const hex: Shape<Bytes> = of("hex", (json) => (typeof json === "string" ? fromHex(json) : undefined));

export function oneOf<const T extends string>(...names: readonly T[]): Shape<T> {
  return of(names.join(" or "), (json) => names.find((name) => name === json));
}

export function list<T>(item: Shape<T>): Shape<T[]> {
  return (json) => {
    if (!Array.isArray(json)) throw malformed("list");
    return json.map(item);
  };
}

/** Absent and null are the same. */
export function optional<T>(inner: Shape<T>): Shape<T | undefined> {
  return (json) => (json === undefined || json === null ? undefined : inner(json));
}

export function object<T extends object>(members: { readonly [K in keyof T]: Shape<T[K]> }): Shape<T> {
  const entries = Object.entries(members) as [string, Shape<unknown>][];
  return (json) => {
    if (typeof json !== "object" || json === null || Array.isArray(json)) throw malformed("object");
    return Object.fromEntries(
      entries.map(([name, shape]) => [name, shape((json as Record<string, unknown>)[name])]),
    ) as T;
  };
}

/** Whatever it is: for what is only handed through. */
export const anything: Shape<unknown> = (json) => json;

/** An answer without content. */
export const nothing: Shape<void> = () => undefined;
