/** The base of every error this package throws on purpose. */

/**
 * `code` is stable: programs decide by it, never by the message. Codes of the server and of the enclave are those of
 * docs/errors.md.
 */
export abstract class PinsealError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }

  /** True if the same call may succeed later without anybody changing anything. */
  get isRetryable(): boolean {
    return false;
  }

  /** True if the enclave has restarted since the evidence was verified, or somebody pretends so: attest again and repeat once. */
  get wantsNewEvidence(): boolean {
    return false;
  }
}
