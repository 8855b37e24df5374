/** Accounts: addresses that the log key vouches for, pinned at first sight. */

import { type Bytes, equal } from "./bytes.js";
import { PinsealError } from "./errors.js";
import { checksum } from "./evm/address.js";
import { currentWallet, type PinnedDeployment, type Profile } from "./profile/profile.js";
import { accountPath, isAccountIndex } from "./protocol/intent.js";
import { type SignedStatement, verifyStatement } from "./protocol/statement.js";

/** The namespace of EVM addresses: one address on every EVM network. */
const EVM_NAMESPACE = "eip155";

/** One account of the wallet, its address vouched for by the deployment's log key. */
export interface Account {
  /** n of m/44'/60'/0'/0/n. */
  readonly index: number;
  /** On every EVM network, in its EIP-55 spelling. */
  readonly address: string;
}

/**
 * An address is not shown. `account_forged`: not vouched for; `account_other`: vouched for, but not what was asked for;
 * `account_changed`: another address than this device has seen before; `account_unlisted`: not seen yet, list it first;
 * `wallet_unknown`: no enclave has answered for this user on this device yet.
 */
export class AccountError extends PinsealError {
  constructor(
    code: "account_forged" | "account_other" | "account_changed" | "account_unlisted" | "wallet_unknown",
    message = code.replaceAll("_", " "),
  ) {
    super(code, message);
  }
}

/** The account a statement is about; throws {@link AccountError}. */
export async function verifyAccount(
  signed: SignedStatement,
  pinned: PinnedDeployment,
  wallet: Bytes,
): Promise<Account> {
  const said = await verifyStatement(signed, pinned.log, pinned.deployment, wallet);
  if (said === undefined) throw new AccountError("account_forged", "an address statement is forged");
  const index = Number(/\/(0|[1-9][0-9]*)$/.exec(said.path)?.[1] ?? -1);
  const isOurs = isAccountIndex(index) && accountPath(index) === said.path && said.network === EVM_NAMESPACE;
  if (!isOurs || said.address.length !== 20) throw new AccountError("account_other");
  return { index, address: checksum(said.address) };
}

/** The pinned account, if there is one. */
export function knownAccount(profile: Profile, index: number): Account | undefined {
  const address = currentWallet(profile)?.addresses.get(accountPath(index));
  return address === undefined ? undefined : { index, address };
}

/** In the order of their numbers. */
export const byIndex = (one: Account, other: Account): number => one.index - other.index;

/** Remembers wallet and addresses of `user`; throws {@link AccountError} for any that differ from what is remembered. */
export function pinAccounts(profile: Profile, user: string, wallet: Bytes, accounts: readonly Account[]): Profile {
  const pinned = profile.wallets.get(user) ?? { wallet, addresses: new Map<string, string>() };
  if (!equal(pinned.wallet, wallet)) throw new AccountError("account_other", "the server answers for another wallet");
  const addresses = new Map(pinned.addresses);
  for (const { index, address } of accounts) {
    const path = accountPath(index);
    const before = addresses.get(path);
    if (before !== undefined && before !== address) {
      throw new AccountError("account_changed", `account ${path} was ${before} and is now said to be ${address}`);
    }
    addresses.set(path, address);
  }
  return { ...profile, wallets: new Map(profile.wallets).set(user, { wallet, addresses }) };
}
