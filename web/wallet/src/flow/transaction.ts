/** What an app wants sent, as the client prepares it. Every field that the app names is kept; what it leaves out the network decides. */

import { type AccessListItem, fromHex, type Prices, type TransactionRequest } from "@pinseal/client";
import { type Params, WalletError } from "@pinseal/core/wallet";

export type Wanted = Params<"evm.sendTransaction">["transaction"];

/** Most gas that is asked for on an app's word: a whole block on most networks. */
const GAS_MAX = 30_000_000;
/** Highest fee that is put before a person, in wei: one coin. Fees are shown; this keeps a mistake from being approved in haste. */
const FEE_MAX = 10n ** 18n;

/** Throws a {@link WalletError}: `bad_request`, `chain_mismatch`, `unsupported_transaction`. */
export function wantedOf(wanted: Wanted, network: string, account: number): TransactionRequest {
  const chain = BigInt(network.slice("eip155:".length));
  if (wanted.chainId !== undefined && BigInt(wanted.chainId) !== chain) {
    throw new WalletError("chain_mismatch", "the transaction names another chain than the request");
  }
  const data = wanted.data === undefined || wanted.data === "0x" ? undefined : bytesOf(wanted.data);
  const prices = pricesOf(wanted);
  const accessList = wanted.accessList?.map(
    ({ address, storageKeys }): AccessListItem => ({
      address: bytesOf(address),
      storageKeys: storageKeys.map(bytesOf),
    }),
  );
  return {
    network,
    account,
    value: BigInt(wanted.value ?? "0x0"),
    gasLimitMax: GAS_MAX,
    feeMax: FEE_MAX,
    ...(wanted.to !== undefined && { to: wanted.to }),
    ...(data && { data }),
    ...(wanted.nonce !== undefined && { nonce: numberOf(wanted.nonce) }),
    ...(wanted.gas !== undefined && { gasLimit: numberOf(wanted.gas) }),
    ...(prices && { prices }),
    ...(accessList && { accessList }),
  };
}

function pricesOf({ type, gasPrice, maxFeePerGas, maxPriorityFeePerGas }: Wanted): Prices | undefined {
  const isDynamic = maxFeePerGas !== undefined || maxPriorityFeePerGas !== undefined;
  if (type !== undefined && !["0x0", "0x1", "0x2"].includes(type)) {
    throw new WalletError("unsupported_transaction", "the wallet signs types 0, 1 and 2 for apps");
  }
  const hasOtherType = isDynamic ? type !== undefined && type !== "0x2" : gasPrice !== undefined && type === "0x2";
  if ((isDynamic && gasPrice !== undefined) || hasOtherType) {
    throw new WalletError("bad_request", "the prices are not those of one type of transaction");
  }
  if (gasPrice !== undefined) return { gasPrice: BigInt(gasPrice) };
  if (!isDynamic) return undefined;
  if (maxFeePerGas === undefined || maxPriorityFeePerGas === undefined) {
    throw new WalletError("bad_request", "maxFeePerGas and maxPriorityFeePerGas go together");
  }
  return { maxFeePerGas: BigInt(maxFeePerGas), maxPriorityFeePerGas: BigInt(maxPriorityFeePerGas) };
}

function numberOf(quantity: string): number {
  const value = Number(quantity);
  if (!Number.isSafeInteger(value)) throw new WalletError("bad_request", "a nonce or gas limit is out of range");
  return value;
}

export function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(hex.slice(2));
  if (bytes === undefined) throw new WalletError("bad_request", "something is no hex");
  return bytes;
}
