/** Why the enclave refuses a request before any try was charged. */

import { names } from "../cbor/codec.js";

/** Codes by their numbers on the wire; docs/errors.md says what each means. */
const REFUSALS = {
  request_malformed: 0,
  evidence_outdated: 1,
  token_invalid: 2,
  token_expired: 3,
  device_invalid: 4,
  challenge_invalid: 5,
  device_not_enrolled: 6,
  devices_full: 7,
  device_enrolled: 8,
  device_unknown: 9,
  wallet_missing: 10,
  wallet_exists: 11,
  nothing_pending: 12,
  record_stale: 13,
  record_damaged: 14,
  state_rolled_back: 15,
  consistency_missing: 16,
  wallet_busy: 17,
  enclave_overloaded: 18,
  intent_invalid: 19,
  policy_denied: 20,
  pin_locked: 21,
  wallet_locked: 22,
  pin_spent: 23,
  pin_delayed: 24,
  not_durable: 25,
  record_exhausted: 26,
  already_answered: 27,
  last_device: 28,
  state_restored: 29,
  restore_not_accepted: 30,
  restore_tried: 31,
  enrolment_paused: 32,
} as const;

/** Why the enclave refused, by the name that docs/errors.md has for it. */
export type Refusal = keyof typeof REFUSALS;

export const refusal = names<Refusal>(REFUSALS);

const RETRYABLE: ReadonlySet<Refusal> = new Set<Refusal>([
  "evidence_outdated",
  "token_expired",
  "challenge_invalid",
  "record_stale",
  "consistency_missing",
  "wallet_busy",
  "enclave_overloaded",
  "pin_delayed",
  "not_durable",
]);

/** True if the same request, made again from `begin`, may succeed without anybody changing anything. */
export function isRetryable(code: Refusal): boolean {
  return RETRYABLE.has(code);
}
