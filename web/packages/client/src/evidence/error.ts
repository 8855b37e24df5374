import { PinsealError } from "../errors.js";

/**
 * Why there is no evidence to rely on. No PIN is asked for. `code` is the name of the failed check in docs/errors.md, or one of
 * `manifest_malformed`, `protocol_version`, `deployment_changed`, `log_key_changed`, `anchor_too_low`,
 * `witnesses_invalid`, `tpm_invalid`, `floor_lowered`.
 */
export class EvidenceError extends PinsealError {
  /** The place of the certificate at fault; 0 is the root. */
  readonly certificate: number | undefined;

  constructor(code: string, options?: { certificate?: number; message?: string; cause?: unknown }) {
    super(code, options?.message ?? `the evidence is refused: ${code}`, options);
    this.certificate = options?.certificate;
  }
}
