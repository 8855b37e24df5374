import { PinsealError } from "../errors.js";

/** What is wrong with the form of a message that has another, shorter or definite, encoding. */
export type Lax = "longer" | "indefinite" | "trailing" | "null at the end";

/** Bytes are not the one encoding of the wanted type. The sender is at fault. */
export class CborError extends PinsealError {
  /** Set where the bytes mean something, in another than the canonical form. */
  readonly lax: Lax | undefined;

  constructor(message: string, lax?: Lax) {
    super(lax === undefined ? "cbor_malformed" : "cbor_not_canonical", message);
    this.lax = lax;
  }
}

export function malformed(what: string): CborError {
  return new CborError(`not a well-formed message: ${what}`);
}

export function notCanonical(lax: Lax): CborError {
  return new CborError(`not in canonical form: ${lax}`, lax);
}
