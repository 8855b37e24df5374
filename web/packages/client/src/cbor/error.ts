import { PinsealError } from "../errors.js";

/** Bytes are not the one encoding of the wanted type. The sender is at fault. */
export class CborError extends PinsealError {
  constructor(code: "cbor_malformed" | "cbor_not_canonical", message: string) {
    super(code, message);
  }
}

export function malformed(what: string): CborError {
  return new CborError("cbor_malformed", `not a well-formed message: ${what}`);
}

export function notCanonical(what: string): CborError {
  return new CborError("cbor_not_canonical", `not in canonical form: ${what}`);
}
