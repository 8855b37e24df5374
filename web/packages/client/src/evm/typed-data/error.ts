import { IntentError } from "../error.js";

/** What is wrong at one place of a JSON document. */
export type Problem =
  | "missing"
  | "undeclared"
  | "null"
  | "wrong_kind"
  | "inexact_number"
  | "not_an_integer"
  | "out_of_range"
  | "not_hex"
  | "wrong_length"
  | "wrong_checksum"
  | "too_large";

/** Typed data are refused. The sender is at fault; nothing was signed. */
export class TypedDataError extends IntentError {
  /** Where in the JSON document, from its root. */
  readonly path: string | undefined;

  constructor(code: string, path?: string) {
    super(`typed_data_${code}`, path === undefined ? undefined : `${path}: ${code.replaceAll("_", " ")}`);
    this.path = path;
  }
}
