/** Intents from what an app hands over. */

import type { Bytes } from "./bytes.js";
import { utf8 } from "./bytes.js";
import { parseAddress } from "./evm/address.js";
import { IntentError } from "./evm/error.js";
import { encodeUnsigned, parseUnsigned, type Transaction } from "./evm/transaction.js";
import { writeTypedData } from "./evm/typed-data/canonical.js";
import { readJson } from "./evm/typed-data/json.js";
import type { Intent } from "./protocol/intent.js";

/** `personal_sign` (EIP-191): a text, or the bytes of a message. */
export function personalMessage(account: number, message: string | Bytes): Intent {
  return { kind: "evmPersonalMessage", account, message: typeof message === "string" ? utf8(message) : message };
}

/** `eth_signTypedData_v4` (EIP-712) from the JSON text an app hands over; throws {@link TypedDataError}. */
export function typedData(account: number, chain: bigint, json: string): Intent {
  return { kind: "evmTypedData", account, chain, typedData: writeTypedData(readJson(json)) };
}

/** A transaction, from its fields or from its unsigned payload; throws {@link IntentError}. */
export function transaction(account: number, from: Transaction | Bytes): Intent {
  const unsigned = from instanceof Uint8Array ? from : encodeUnsigned(from);
  return { kind: "evmTransaction", account, chain: parseUnsigned(unsigned).chain, unsigned };
}

/** EIP-7702: the contract whose code the account will run on `chain`. Throws {@link IntentError}. */
export function authorization(account: number, chain: bigint, contract: string, nonce: bigint): Intent {
  const address = parseAddress(contract);
  if (typeof address === "string") throw new IntentError(`address_${address}`);
  return { kind: "evmAuthorization", account, chain, address, nonce };
}
