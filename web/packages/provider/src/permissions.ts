/** EIP-2255: what this app may do is one thing, to see the accounts. */
import { invalidParams, ProviderRpcError, RPC } from "./error.js";
import { type Hex, object } from "./params.js";

const ACCOUNTS = "eth_accounts";

/** EIP-2255. */
export interface Permission {
  readonly parentCapability: typeof ACCOUNTS;
  readonly invoker: string;
  readonly date?: number;
  readonly caveats: readonly { readonly type: string; readonly value: readonly string[] }[];
}

/** Throws unless `eth_accounts`, without a caveat of the app's own, is what is asked for. */
export function checkPermissions(asked: unknown): void {
  const names = Object.entries(object(asked, "the permissions"));
  if (names.length === 0) throw invalidParams("no permission is named");
  for (const [name, caveats] of names) {
    if (name !== ACCOUNTS)
      throw new ProviderRpcError(RPC.unsupportedMethod, `there is no permission ${name.slice(0, 64)}`);
    if (Object.keys(object(caveats, "the caveats")).length > 0) throw invalidParams("the wallet takes no caveats");
  }
}

export function permissions(accounts: readonly Hex[]): readonly Permission[] {
  if (accounts.length === 0) return [];
  const caveats = [{ type: "restrictReturnedAccounts", value: accounts }];
  return [{ parentCapability: ACCOUNTS, invoker: globalThis.location?.origin ?? "", caveats }];
}
