import { PinsealError } from "../errors.js";

/** What the server said about a refused call (RFC 9457). It travelled in clear: the host's word, never a verdict on a PIN. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string | undefined;
  /** Of a call that reverted: what the contract returned, in hex. */
  readonly data: string | undefined;
  readonly retryable: boolean;
  /** Names the call in the operator's logs. */
  readonly traceId: string;
  readonly retryAfterSeconds: number | undefined;
}

/** Codes of this client, beside those of the server. */
export type ApiFault =
  /** No answer came: connection, TLS or time-out. It is unknown whether the server acted. */
  | "transport"
  /** A status and no problem document; something between may be at fault. */
  | "status"
  /** It was handed over more than once, and looked for, and no clear answer came. It may be carried out. */
  | "outcome_unknown"
  /** The answer is longer than any answer of this API. */
  | "answer_too_long"
  /** The answer is not what this version expects. */
  | "answer_malformed"
  /** An e-mail address has other signs than printable ASCII, or a percent sign in its domain. Nothing was sent; it can be written otherwise. */
  | "email_not_ascii"
  /** Nobody is logged in. Log in first. */
  | "not_logged_in"
  /** Somebody else has logged in since this began. Nothing more of it is done, and nothing of it under their name. */
  | "user_changed";

/** A call gave no answer. None of these says anything about a PIN. `code` is the server's, or one of {@link ApiFault}. */
export class ApiError extends PinsealError {
  /** Set where the server said why. */
  readonly problem: Problem | undefined;
  readonly status: number | undefined;
  /** True if the session is over: log in again. */
  readonly isSessionEnd: boolean;

  private constructor(
    code: string,
    message: string,
    more: { problem?: Problem; status?: number; isSessionEnd?: boolean; cause?: unknown },
  ) {
    super(code, message, "cause" in more ? { cause: more.cause } : undefined);
    this.problem = more.problem;
    this.status = more.problem?.status ?? more.status;
    this.isSessionEnd = more.isSessionEnd ?? false;
  }

  /** One of this client's own. */
  static fault(code: ApiFault, message: string, more: { status?: number; cause?: unknown } = {}): ApiError {
    return new ApiError(code, message, more);
  }

  /** What the server said (RFC 9457). */
  static ofProblem(problem: Problem): ApiError {
    return new ApiError(problem.code, `${problem.title} [${problem.code}]`, { problem });
  }

  /** The same, where it ends the session. */
  asSessionEnd(): ApiError {
    return new ApiError(this.code, "the session has ended; log in again", {
      ...(this.problem && { problem: this.problem }),
      isSessionEnd: true,
      cause: this,
    });
  }

  override get isRetryable(): boolean {
    if (this.isSessionEnd) return false;
    if (this.problem) return this.problem.retryable;
    return this.code === "transport" || isGateway(this.status);
  }

  override get wantsNewEvidence(): boolean {
    return this.code === "evidence_outdated";
  }

  /** True if the server may have carried the call out, or still may. */
  get leavesOutcomeOpen(): boolean {
    if (this.isSessionEnd || this.code === "not_logged_in" || this.code === "user_changed") return false;
    if (this.code === "idempotency_in_progress" || this.status === undefined) return true;
    return this.status < 400 || this.status >= 500 || this.status === 408;
  }
}

export function isGateway(status: number | undefined): boolean {
  return status !== undefined && status >= 502 && status <= 504;
}

/** Longest code; ours have at most 24 characters. */
const CODE = /^[a-z0-9_]{1,64}$/;
/** Revert data: as many bytes as the server keeps, or none. */
const DATA = /^0x(?:[0-9a-f]{2}){0,8192}$/;
/** Longest text shown of a title or detail. */
const TEXT_CHARS_MAX = 300;

/** Reads a problem document; `undefined` if it has no proper code. */
export function readProblem(status: number, json: unknown): Problem | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const { code, title, detail, data, retryable, trace_id, retry_after_seconds } = json as Record<string, unknown>;
  if (typeof code !== "string" || !CODE.test(code)) return undefined;
  return {
    status,
    code,
    title: printable(title) ?? "",
    detail: printable(detail),
    data: typeof data === "string" && DATA.test(data) ? data : undefined,
    retryable: retryable === true,
    traceId: printable(trace_id) ?? "",
    retryAfterSeconds: Number.isSafeInteger(retry_after_seconds) ? (retry_after_seconds as number) : undefined,
  };
}

/** Drops what could reverse or hide text. */
function printable(text: unknown): string | undefined {
  if (typeof text !== "string") return undefined;
  const harmless = text.replace(/[\p{Cc}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu, "");
  return [...harmless].slice(0, TEXT_CHARS_MAX).join("");
}
