/** The view of a transaction. */

import { type Bytes, toHex } from "../bytes.js";
import { checksum } from "../evm/address.js";
import { keccak256 } from "../evm/keccak.js";
import { accessListOf, feeMax, type Transaction } from "../evm/transaction.js";
import { accountPath } from "../protocol/intent.js";
import { nativeAmount } from "./amount.js";
import { appendAuthorizations } from "./authorization.js";
import { viewCall, warnRecipient } from "./call.js";
import { readCalldata } from "./calldata.js";
import { type Context, chainName, Draft } from "./view.js";

/** How much of the calldata is shown; the rest is stood for by its hash. */
const INPUT_SHOWN_MAX = 256;

export function viewTransaction(tx: Transaction, account: number, chosen: bigint, context: Context): Draft {
  const view = tx.to === undefined ? creation(tx, context) : withRecipient(tx, tx.to, context);
  if (tx.kind.type === "setCode") appendAuthorizations(view, tx.kind.authorizations);
  if (tx.chain !== chosen) {
    const chains = { chain: chainName(tx.chain), chosen: chainName(chosen) };
    view.danger("chain_mismatch", "transaction_chain", chains);
  }
  appendFields(view, tx, account, context);
  return view;
}

function withRecipient(tx: Transaction, to: Bytes, context: Context): Draft {
  const calldata = readCalldata(tx.input);
  switch (calldata.kind) {
    case "empty":
      return transfer(tx, to, context);
    case "known": {
      const view = viewCall(calldata.call, tx.chain, to, context);
      warnValue(view, tx, context);
      if (calldata.extra > 0) {
        view.caution("extra_calldata", "call_extra", { bytes: `${calldata.extra}` });
      }
      return view;
    }
    case "malformed": {
      const view = unknown(tx, to, context);
      view.danger("malformed_call", "call_malformed", { signature: calldata.signature });
      return view;
    }
    case "unknown": {
      const view = unknown(tx, to, context);
      const { selector } = calldata;
      if (selector === undefined) view.caution("unknown_call", "bytes_unknown");
      else view.caution("unknown_call", "call_unknown", { selector });
      return view;
    }
  }
}

function transfer(tx: Transaction, to: Bytes, context: Context): Draft {
  const what = nativeAmount(tx.value, context.native);
  const view = new Draft("value_transfer", "send_title", { what });
  view.say("send", { what, to: checksum(to) });
  warnRecipient(view, to);
  return view;
}

function creation(tx: Transaction, context: Context): Draft {
  const view = new Draft("contract_creation", "create_title");
  view.say("create", { bytes: `${tx.input.length}` });
  view.caution("contract_creation", "create_warning");
  warnValue(view, tx, context);
  return view;
}

function unknown(tx: Transaction, to: Bytes, context: Context): Draft {
  const view = new Draft("contract_call", "call_title");
  view.say("call", { contract: checksum(to) });
  warnValue(view, tx, context);
  return view;
}

function warnValue(view: Draft, { value }: Transaction, { native }: Context): void {
  if (value !== 0n) view.caution("value_with_call", "call_value", { amount: nativeAmount(value, native) });
}

function appendFields(view: Draft, tx: Transaction, account: number, { native }: Context): void {
  view.field("Network", chainName(tx.chain));
  view.field("Account", accountPath(account));
  view.field("To", tx.to === undefined ? "new contract" : checksum(tx.to));
  view.field("Value", nativeAmount(tx.value, native));
  view.field("Maximum fee", nativeAmount(feeMax(tx), native));
  view.field("Gas limit", tx.gasLimit.toString());
  view.field("Nonce", tx.nonce.toString());
  const list = accessListOf(tx);
  if (list.length > 0) view.field("Access list", `${list.length} addresses`);
  appendInput(view, tx.input);
}

/** Also for known calls: some have parts that the words leave out. */
function appendInput(view: Draft, input: Bytes): void {
  if (input.length === 0) return;
  const shown = `0x${toHex(input.subarray(0, INPUT_SHOWN_MAX))}`;
  if (input.length <= INPUT_SHOWN_MAX) {
    view.field("Data", shown);
    return;
  }
  view.field("Data", `${shown}... (${input.length} bytes)`);
  view.field("Data hash", `0x${toHex(keccak256(input))}`);
}
