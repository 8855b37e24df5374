import { PinsealError } from "../errors.js";

/** Codes of what the client finds out by itself; docs/errors.md says what each means. */
export type HistoryFault =
  | "history_forged"
  | "history_foreign"
  | "history_disorder"
  | "history_incomplete"
  | "history_unreadable"
  | "history_contradiction"
  | "history_boot_missing";

/** There is no history to show: what the host showed is not shown to the user as one. */
export class HistoryError extends PinsealError {
  declare readonly code: HistoryFault;

  constructor(code: HistoryFault, message: string) {
    super(code, message);
  }
}

/** The entry is not in the log that the enclave signed, or not where the host says. */
export function forged(index: number): HistoryError {
  const text = `entry ${index} is not in the log that the enclave signed: it was made up or changed`;
  return new HistoryError("history_forged", text);
}

/** The entry is in the log, and is not what was asked for. */
export function foreign(index: number): HistoryError {
  return new HistoryError("history_foreign", `entry ${index} of the log is not about this wallet`);
}

/** The entry is shown again, or before one that is older. */
export function disorder(index: number): HistoryError {
  return new HistoryError("history_disorder", `entry ${index} of the log is shown out of its place`);
}

/** The host left out the entry of a write. */
export function missing(version: bigint): HistoryError {
  return new HistoryError("history_incomplete", `the entry of write ${version} to this wallet was left out`);
}

/** The enclave cannot open an entry that it wrote: it has another root key than then. */
export function unreadable(version: bigint): HistoryError {
  return new HistoryError("history_unreadable", `the enclave cannot open the entry of write ${version} to this wallet`);
}

/** A verdict without the charge that comes before it. The enclave never writes that. */
export function contradiction(version: bigint): HistoryError {
  const text = `write ${version} to this wallet does not follow from the one before it`;
  return new HistoryError("history_contradiction", text);
}

/** The boot that answers is not the newest among the deployment's events. */
export function bootMissing(): HistoryError {
  return new HistoryError("history_boot_missing", "the newest boot was left out of the deployment's events");
}
