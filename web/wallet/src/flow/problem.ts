/** What a failure means to a person. The code stays beside the sentence, for support. */

import {
  ApiError,
  EvidenceError,
  HistoryError,
  LockedError,
  PinsealError,
  ReceiptError,
  ReplyLostError,
} from "@pinseal/client";
import { en, type MessageKey } from "../i18n/messages.ts";
import { SettingsError } from "../settings.ts";
import type { Note } from "../state/state.ts";

/** Codes that share a sentence. */
const SAME: Readonly<Record<string, MessageKey>> = {
  status: "problem.transport",
  answer_malformed: "problem.host",
  answer_too_long: "problem.host",
  internal: "problem.service",
  overloaded: "problem.service",
  enclave_unavailable: "problem.service",
  enclave_overloaded: "problem.service",
  service_fault: "problem.service_fault",
  outcome_unknown: "problem.reply_lost",
  already_answered: "problem.reply_lost",
  timeout: "problem.transport",
  request_timeout: "problem.transport",
  state_restored: "problem.receipt_restored",
  restore_not_accepted: "problem.receipt_restored",
  record_damaged: "problem.storage",
  record_stale: "problem.storage",
  record_exhausted: "problem.storage",
  app_key_invalid: "problem.reload",
  app_key_missing: "problem.reload",
  origin_refused: "problem.reload",
  result_mismatch: "problem.host",
  transaction_unreasonable: "problem.fees",
  fee_too_high: "problem.fees",
  gas_too_high: "problem.gas",
  nonce_taken: "problem.nonce",
  not_replaceable: "problem.nonce",
};

export function problemOf(error: unknown): Note {
  if (error instanceof LockedError) return { text: `problem.${error.refusal}` as MessageKey, code: error.code };
  if (error instanceof ReplyLostError) return { text: "problem.reply_lost", code: error.code };
  if (error instanceof EvidenceError) return { text: "problem.evidence", code: error.code };
  if (error instanceof ApiError && error.isSessionEnd) return { text: "problem.session_ended", code: error.code };
  if (error instanceof PinsealError || error instanceof SettingsError) return { text: textOf(error), code: error.code };
  return { text: "problem.unknown", code: error instanceof Error ? error.name : "unknown" };
}

/**
 * Of a transaction that was handed over. What a host says of its refusal is no word and no code of ours, and what fails here says nothing of what the
 * host has: whoever reads it, and pays in another way, pays twice.
 */
export function unsentOf(error: unknown): Note {
  const isRefused = error instanceof ApiError && !error.leavesOutcomeOpen;
  return { text: "problem.unsent", code: isRefused ? "broadcast_refused" : OUTCOME_UNKNOWN };
}

/** Code of what nobody can tell. */
export const OUTCOME_UNKNOWN = "outcome_unknown";

function textOf(error: PinsealError | SettingsError): MessageKey {
  const own = `problem.${error.code}`;
  if (own in en) return own as MessageKey;
  const same = SAME[error.code];
  if (same !== undefined) return same;
  if (error instanceof ReceiptError) return "problem.receipt";
  if (error instanceof HistoryError) return "problem.history";
  return error instanceof ApiError && (error.status ?? 0) >= 500 ? "problem.service" : "problem.unknown";
}

/** True if whoever was logged in is not any more. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && (error.isSessionEnd || error.code === "not_logged_in");
}
