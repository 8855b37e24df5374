/** The operations, by their names and numbers. */

import { names } from "../cbor/codec.js";

const METHODS = {
  register_prepare: 0,
  register_confirm: 1,
  verify_pin: 2,
  sign: 3,
  change_pin_prepare: 4,
  change_pin_confirm: 5,
  enrol_device: 6,
  revoke_device: 7,
  clear_tries: 8,
  status: 9,
  list_accounts: 10,
  open_history: 11,
  accept_restore: 12,
} as const;
/** The operation, in clear so that host and log can name it. */
export const method = names(METHODS);
export type Method = keyof typeof METHODS;

/** True if the sealed reply carries the challenge for the next request of this method. */
export function continues(name: Method): boolean {
  return name === "sign";
}
