/** Types of messages, each with its one encoding. A struct is an array of its fields, an enum `[tag, [fields]]`. */

import type { Bytes } from "../bytes.js";
import { malformed, notCanonical } from "./error.js";
import { Reader } from "./reader.js";
import { Writer } from "./writer.js";

export interface Codec<T> {
  write(writer: Writer, value: T): void;
  read(reader: Reader): T;
  /** True if the value may be absent: null inside an array, left out at its end. */
  readonly isOptional?: boolean;
}

export type Value<C> = C extends Codec<infer T> ? T : never;

/** Longest message looked at; the longest honest one is a sealed reply to a request of 256 KiB. */
export const MESSAGE_BYTES_MAX = 1024 * 1024;

export function encode<T>(codec: Codec<T>, value: T): Bytes {
  const counter = new Writer();
  codec.write(counter, value);
  const out = new Uint8Array(counter.length);
  codec.write(new Writer(out), value);
  return out;
}

/** One value and nothing after it; throws {@link CborError}. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  if (bytes.length > MESSAGE_BYTES_MAX) throw malformed("longer than any message");
  const reader = new Reader(bytes);
  const value = codec.read(reader);
  reader.end();
  return value;
}

function number(most: number): Codec<number> {
  return {
    write(writer, value) {
      if (!Number.isInteger(value) || value < 0 || value > most)
        throw new RangeError(`${value} is not within 0..${most}`);
      writer.uint(value);
    },
    read(reader) {
      const value = reader.uint();
      if (value > BigInt(most)) throw malformed("a number beyond its type");
      return Number(value);
    },
  };
}

export const u8 = number(0xff);
export const u16 = number(0xffff);
export const u32 = number(0xffff_ffff);
/** 64 bits do not fit a `number`. */
export const u64: Codec<bigint> = { write: (writer, value) => writer.uint(value), read: (reader) => reader.uint() };
export const bool: Codec<boolean> = { write: (writer, value) => writer.bool(value), read: (reader) => reader.bool() };
export const text: Codec<string> = { write: (writer, value) => writer.text(value), read: (reader) => reader.text() };
export const bytes: Codec<Bytes> = { write: (writer, value) => writer.bytes(value), read: (reader) => reader.bytes() };

/** A byte string of exactly this length. */
export function fixed(length: number): Codec<Bytes> {
  return {
    write(writer, value) {
      if (value.length !== length) throw new RangeError(`${value.length} bytes in place of ${length}`);
      writer.bytes(value);
    },
    read(reader) {
      const value = reader.bytes();
      if (value.length !== length) throw malformed(`${value.length} bytes in place of ${length}`);
      return value;
    },
  };
}

export function list<T>(item: Codec<T>): Codec<T[]> {
  return {
    write(writer, values) {
      writer.array(values.length);
      for (const value of values) item.write(writer, value);
    },
    read(reader) {
      return Array.from({ length: reader.array() }, () => item.read(reader));
    },
  };
}

export function optional<T>(inner: Codec<T>): Codec<T | undefined> {
  return {
    isOptional: true,
    write(writer, value) {
      if (value === undefined) writer.null();
      else inner.write(writer, value);
    },
    read: (reader) => (reader.null() ? undefined : inner.read(reader)),
  };
}

/** One of several names, written as its number. */
export function names<N extends string>(numbers: Readonly<Record<N, number>>): Codec<N> {
  const byNumber = new Map(Object.entries<number>(numbers).map(([name, value]) => [BigInt(value), name as N]));
  return {
    write(writer, value) {
      const number = numbers[value];
      if (number === undefined) throw new RangeError(`no such name: ${value}`);
      writer.uint(number);
    },
    read(reader) {
      const name = byNumber.get(reader.uint());
      if (name === undefined) throw malformed("an unknown number");
      return name;
    },
  };
}

type Fields<T> = { readonly [K in keyof T]: Codec<T[K]> };

/** An array of the fields in declared order. */
export function struct<T extends object>(fields: Fields<T>): Codec<T> {
  const entries = Object.entries(fields) as [string, Codec<unknown>][];
  return {
    write(writer, value) {
      const values = entries.map(([name]) => (value as Record<string, unknown>)[name]);
      let count = entries.length;
      while (count > 0 && entries[count - 1]?.[1].isOptional && values[count - 1] === undefined) count -= 1;
      writer.array(count);
      for (const [index, [, codec]] of entries.slice(0, count).entries()) codec.write(writer, values[index]);
    },
    read(reader) {
      const count = reader.array();
      if (count > entries.length) throw malformed("more fields than the type has");
      const out: Record<string, unknown> = {};
      for (const [index, [name, codec]] of entries.entries()) {
        if (index >= count && !codec.isOptional) throw malformed(`${name} is missing`);
        out[name] = index < count ? codec.read(reader) : undefined;
        if (index === count - 1 && out[name] === undefined) throw notCanonical("null at the end");
      }
      return out as T;
    },
  };
}

/** One case of an enum. */
export interface Variant<T> {
  readonly tag: number;
  readonly fields: Codec<T>;
}

/** One case of an enum and its fields. */
export function variant<T extends object>(tag: number, fields: Fields<T>): Variant<T> {
  return { tag, fields: struct(fields) };
}

type Union<T> = { [K in keyof T]: { readonly kind: K } & T[K] }[keyof T];

/** `[tag, [fields]]`; the value carries the case's name in `kind`. */
export function variants<T extends object>(cases: { readonly [K in keyof T]: Variant<T[K]> }): Codec<Union<T>> {
  const entries = Object.entries(cases) as [string, Variant<object>][];
  const byName = new Map(entries);
  return {
    write(writer, value) {
      const { kind } = value as { kind: string };
      const found = byName.get(kind);
      if (found === undefined) throw new RangeError(`no such case: ${kind}`);
      writer.array(2);
      writer.uint(found.tag);
      found.fields.write(writer, value as object);
    },
    read(reader) {
      if (reader.array() !== 2) throw malformed("not a case of an enum");
      const tag = reader.uint();
      const found = entries.find(([, candidate]) => BigInt(candidate.tag) === tag);
      if (found === undefined) throw malformed("an unknown case");
      return { kind: found[0], ...found[1].fields.read(reader) } as Union<T>;
    },
  };
}
