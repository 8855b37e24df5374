/** Checks of values that another page sent: strict, bounded, without a copy of anything. */

/** Throws nothing; says whether `value` is a `T`. */
export type Check<T> = (value: unknown) => value is T;
/** The type that a check vouches for. */
export type Checked<C> = C extends Check<infer T> ? T : never;

/** What may cross the bridge: JSON, with numbers that are exact. Larger numbers travel as text. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Characters of all texts and names in one message, plus one for each value: room for a contract's creation code twice over. */
export const MESSAGE_SIZE_MAX = 512 * 1024;
/** Nesting of one message; typed data of real contracts nests less than ten deep. */
export const MESSAGE_DEPTH_MAX = 32;

/** True if `value` is JSON that fits one message. Walks no further than the bound. */
export function fits(value: unknown): value is Json {
  let left = MESSAGE_SIZE_MAX;
  const walk = (item: unknown, depth: number): boolean => {
    left -= typeof item === "string" ? item.length + 1 : 1;
    if (left < 0 || depth > MESSAGE_DEPTH_MAX) return false;
    if (item === null || typeof item === "boolean" || typeof item === "string") return true;
    if (typeof item === "number")
      return Number.isSafeInteger(item) || (Number.isFinite(item) && !Number.isInteger(item));
    if (typeof item !== "object") return false;
    if (Array.isArray(item)) return item.length <= left && item.every((each) => walk(each, depth + 1));
    if (!isPlain(item)) return false;
    for (const name of Object.keys(item)) {
      left -= name.length;
      if (left < 0 || !walk(item[name], depth + 1)) return false;
    }
    return true;
  };
  return walk(value, 0);
}

/** True for objects as literals make them, of any realm. */
function isPlain(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

export const json: Check<Json> = (value): value is Json => value !== undefined;
export const boolean: Check<boolean> = (value): value is boolean => typeof value === "boolean";

/** Text of at most `max` UTF-16 units, matching `pattern`. */
export function text(max: number, pattern?: RegExp): Check<string> {
  return (value): value is string =>
    typeof value === "string" && value.length <= max && (pattern === undefined || pattern.test(value));
}

/** A whole number from 0. */
export const count: Check<number> = (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

export function oneOf<const T extends string | number>(...allowed: T[]): Check<T> {
  return (value): value is T => allowed.includes(value as T);
}

export function list<T>(item: Check<T>, max: number): Check<readonly T[]> {
  return (value): value is readonly T[] => Array.isArray(value) && value.length <= max && value.every(item);
}

/** A field that may be missing. */
export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value): value is T | undefined => value === undefined || check(value);
}

type Fields = Record<string, Check<unknown>>;
type Missable<F extends Fields> = { [K in keyof F]: undefined extends Checked<F[K]> ? K : never }[keyof F];
/** The same fields, written out. */
export type Flat<T> = { [K in keyof T]: T[K] };
type Of<F extends Fields> = Flat<
  { readonly [K in Exclude<keyof F, Missable<F>>]: Checked<F[K]> } & {
    readonly [K in Missable<F>]?: Exclude<Checked<F[K]>, undefined>;
  }
>;

/** An object with exactly these fields. One that is not named here refuses the whole. */
export function record<F extends Fields>(fields: F): Check<Of<F>> {
  return (value): value is Of<F> => {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !isPlain(value)) return false;
    if (Object.keys(value).some((name) => !Object.hasOwn(fields, name))) return false;
    return Object.entries(fields).every(([name, check]) => {
      const own = Object.hasOwn(value, name);
      return check(own ? value[name] : undefined) && !(own && value[name] === undefined);
    });
  };
}
