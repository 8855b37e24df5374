/** EIP-1193 provider of a Pinseal wallet. Importing it touches nothing. */

export { announce, type WalletInfo } from "./announce.js";
export type { CallsStatus } from "./calls.js";
export type { Listener, ProviderEvents } from "./emitter.js";
export { ProviderRpcError, RPC, type RpcCode, type RpcErrorData } from "./error.js";
export type { Hex } from "./params.js";
export type { Permission } from "./permissions.js";
export { getProvider, PinsealProvider, type ProviderOptions, type RequestArguments, type Results } from "./provider.js";
