/** The errors of EIP-1193 and its companions, and how the bridge's become these. */
import { BridgeError, WalletError } from "@pinseal/core";

/** Codes of EIP-1193, EIP-1474, EIP-3326 and EIP-5792. */
export const RPC = {
  /** The network's node says that a call reverted. */
  reverted: 3,
  userRejected: 4001,
  unauthorized: 4100,
  unsupportedMethod: 4200,
  disconnected: 4900,
  chainDisconnected: 4901,
  chainUnknown: 4902,
  capabilityUnsupported: 5700,
  chainUnsupported: 5710,
  duplicateId: 5720,
  bundleUnknown: 5730,
  bundleTooLarge: 5740,
  atomicityUnsupported: 5760,
  invalidParams: -32602,
  internal: -32603,
  limitExceeded: -32005,
} as const;

/** A number of one of these standards. */
export type RpcCode = (typeof RPC)[keyof typeof RPC];

/** What a provider's error carries beside its number. */
export interface RpcErrorData {
  /** The code of the bridge, the wallet, the server or the enclave: more exact than the number. */
  readonly code: string;
  readonly retryable: boolean;
  /** What a reverted call returned; or the hash of a transaction that may be mined, though nobody says that it was sent. */
  readonly data?: string;
}

/** EIP-1193's error: the number in `code`, the more exact code in `data.code`. */
export class ProviderRpcError extends Error {
  readonly code: RpcCode;
  readonly data: RpcErrorData | undefined;

  constructor(code: RpcCode, message: string, data?: RpcErrorData, options?: ErrorOptions) {
    super(message, options);
    this.name = "ProviderRpcError";
    this.code = code;
    this.data = data;
  }
}

export function invalidParams(message: string): ProviderRpcError {
  return new ProviderRpcError(RPC.invalidParams, message);
}

const CODES: Readonly<Record<string, RpcCode>> = {
  closed_by_user: RPC.userRejected,
  cancelled: RPC.userRejected,
  declined: RPC.userRejected,
  origin_not_allowed: RPC.unauthorized,
  login_required: RPC.unauthorized,
  consent_required: RPC.unauthorized,
  account_unknown: RPC.unauthorized,
  unsupported_method: RPC.unsupportedMethod,
  unsupported_version: RPC.unsupportedMethod,
  network_unknown: RPC.chainDisconnected,
  bad_request: RPC.invalidParams,
  too_many_requests: RPC.limitExceeded,
  result_too_large: RPC.limitExceeded,
  node_refused: RPC.reverted,
  finalized: RPC.disconnected,
  connection_lost: RPC.disconnected,
  frame_refused: RPC.disconnected,
  timed_out: RPC.disconnected,
  popup_blocked: RPC.disconnected,
  opener_severed: RPC.disconnected,
  not_open: RPC.disconnected,
  no_page: RPC.disconnected,
};

/** Whatever went wrong, as EIP-1193 names it; what the wallet's answer does not explain is an internal error, never a success. */
export function rpcError(error: unknown): ProviderRpcError {
  if (error instanceof ProviderRpcError) return error;
  if (!(error instanceof BridgeError || error instanceof WalletError)) {
    return new ProviderRpcError(RPC.internal, "the provider failed", undefined, { cause: error });
  }
  const more = error instanceof WalletError ? error.data : undefined;
  const data = { code: error.code, retryable: error.isRetryable, ...(more !== undefined && { data: more }) };
  const code = Object.hasOwn(CODES, error.code) ? CODES[error.code] : undefined;
  return new ProviderRpcError(code ?? RPC.internal, error.message, data, { cause: error });
}
