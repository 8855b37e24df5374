/** The view of EIP-7702 authorizations. */

import { checksum } from "../evm/address.js";
import type { Authorization, SignedAuthorization } from "../evm/authorization.js";
import { accountPath } from "../protocol/intent.js";
import { chainName, Draft } from "./view.js";

export function viewAuthorization(authorization: Authorization, account: number): Draft {
  const view = new Draft("delegation", "Hand your account over to a contract");
  if (isTakenBack(authorization)) view.title = "Take your account back from a contract";
  say(view, "your account", authorization);
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
  view.title = "Hand accounts over to contracts, and send a transaction";
  for (const [at, { authorization, authority }] of authorizations.entries()) {
    say(view, `account ${authority}`, authorization);
    const { address, nonce } = authorization;
    const text = `${authority} runs ${checksum(address)} on ${network(authorization)}, nonce ${nonce}`;
    view.field(`Authorization ${at + 1}`, text);
  }
}

function say(view: Draft, whose: string, authorization: Authorization): void {
  const contract = checksum(authorization.address);
  if (isTakenBack(authorization)) {
    view.say(`From now on ${whose} runs no contract's code.`);
  } else {
    view.say(`From now on ${whose} runs the code of contract ${contract}.`);
    const text = `The contract ${contract} gets full control of ${whose}: it can move everything, now and later.`;
    view.danger("delegation", text);
  }
  if (authorization.chain === 0n) {
    view.danger("any_chain", "This holds on every chain at once, also on those you never used.");
  }
}

function isTakenBack({ address }: Authorization): boolean {
  return address.every((byte) => byte === 0);
}

function network({ chain }: Authorization): string {
  return chain === 0n ? "every chain" : chainName(chain);
}
