/** The view of EIP-7702 authorizations. */

import { checksum } from "../evm/address.js";
import type { Authorization, SignedAuthorization } from "../evm/authorization.js";
import { accountPath } from "../protocol/intent.js";
import { type Sentence, sentence } from "./sentences.js";
import { chainName, Draft } from "./view.js";

export function viewAuthorization(authorization: Authorization, account: number): Draft {
  const view = new Draft("delegation", "delegate_title");
  if (isTakenBack(authorization)) view.title = sentence("undelegate_title");
  say(view, sentence("your_account"), authorization);
  view.field("Network", network(authorization));
  view.field("Account", accountPath(account));
  view.field("Contract", checksum(authorization.address));
  view.field("Nonce", authorization.nonce.toString());
  return view;
}

/** Adds the authorizations that a transaction carries to its view. */
export function appendAuthorizations(view: Draft, authorizations: readonly SignedAuthorization[]): void {
  if (authorizations.length === 0) return;
  view.kind = "delegation";
  view.title = sentence("delegations_title");
  for (const [at, { authorization, authority }] of authorizations.entries()) {
    say(view, sentence("account_at", { account: authority }), authorization);
    const { address, nonce } = authorization;
    const text = `${authority} runs ${checksum(address)} on ${network(authorization)}, nonce ${nonce}`;
    view.field(`Authorization ${at + 1}`, text);
  }
}

function say(view: Draft, whose: Sentence, authorization: Authorization): void {
  const contract = checksum(authorization.address);
  if (isTakenBack(authorization)) {
    view.say("undelegate", { whose });
  } else {
    view.say("delegate", { whose, contract });
    view.danger("delegation", "delegate_warning", { whose, contract });
  }
  if (authorization.chain === 0n) {
    view.danger("any_chain", "any_chain");
  }
}

function isTakenBack({ address }: Authorization): boolean {
  return address.every((byte) => byte === 0);
}

function network({ chain }: Authorization): string {
  return chain === 0n ? "every chain" : chainName(chain);
}
