/** Which accounts the page offers to open. */

import type { Account } from "@pinseal/client";

/** Most of them: what fits a list that somebody chooses from. */
const ACCOUNTS_MAX = 16;

/** The one after those that are open; `undefined` where the page offers no more. */
export function nextAccount(accounts: readonly Pick<Account, "index">[]): number | undefined {
  const next = Math.max(-1, ...accounts.map(({ index }) => index)) + 1;
  return next < ACCOUNTS_MAX ? next : undefined;
}
