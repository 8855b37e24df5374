/** What an intent means, for display before the user approves it. */

import { checkAuthorization } from "../evm/authorization.js";
import { IntentError } from "../evm/error.js";
import { MESSAGE_BYTES_MAX } from "../evm/prepare.js";
import { parseUnsigned } from "../evm/transaction.js";
import { readTypedData } from "../evm/typed-data/canonical.js";
import { type Intent, isAccountIndex } from "../protocol/intent.js";
import { viewAuthorization } from "./authorization.js";
import { viewMessage } from "./message.js";
import { viewTransaction } from "./transaction.js";
import { viewTypedData } from "./typed-data.js";
import type { Context, Draft, Native, Token, View } from "./view.js";

/** The EVM counts in wei on every network. */
const EVM_DECIMALS = 18;
/** Symbols of the networks this client knows by itself; the host's word for one is not taken. */
const SYMBOLS: Readonly<Record<string, string>> = {
  1: "ETH",
  56: "BNB",
  137: "POL",
  1001: "KAIA",
  8217: "KAIA",
  31337: "ETH",
  11155111: "ETH",
};

/** The network's currency: its symbol where this client knows the network, else a word that claims nothing. */
export function nativeOf(chain: bigint): Native {
  return { symbol: SYMBOLS[chain.toString()] ?? "native coin", decimals: EVM_DECIMALS };
}

/**
 * The view of an intent, made from the same parsed values that are signed. What only the policy or the chosen network forbids is shown
 * with a warning; the enclave refuses it all the same. `tokens` are those whose symbol and decimals the caller trusts. Throws
 * {@link IntentError} for what cannot be parsed: it must not be offered for approval.
 */
export function viewOf(intent: Intent, tokens: readonly Token[] = []): View {
  return viewWith(intent, { native: nativeOf("chain" in intent ? intent.chain : 0n), tokens });
}

/** As {@link viewOf}, the currency handed in. */
export function viewWith(intent: Intent, context: Context): View {
  if (!isAccountIndex(intent.account)) throw new IntentError("account_out_of_range");
  return draft(intent, context).done();
}

function draft(intent: Intent, context: Context): Draft {
  switch (intent.kind) {
    case "evmTransaction":
      return viewTransaction(parseUnsigned(intent.unsigned), intent.account, intent.chain, context);
    case "evmAuthorization":
      checkAuthorization(intent);
      return viewAuthorization(intent, intent.account);
    case "evmPersonalMessage":
      if (intent.message.length > MESSAGE_BYTES_MAX) throw new IntentError("message_too_long");
      return viewMessage(intent.message, intent.account);
    case "evmTypedData":
      return viewTypedData(readTypedData(intent.typedData), intent.account, intent.chain, context);
  }
}
