/** Something to be signed, whoever asks. The page's own send screen does today; an app's message will come in here, too. */

import type { Account, Intent, View } from "@pinseal/client";

export interface Request {
  /** Who asks. An app is named by its origin, which it cannot choose. */
  readonly from: { readonly kind: "wallet" } | { readonly kind: "app"; readonly name: string; readonly origin: string };
  /** CAIP-2 id. */
  readonly network: string;
  readonly account: Account;
  /** What is sealed, and beside each what it means, made from the same bytes. */
  readonly items: readonly { readonly intent: Intent; readonly view: View }[];
  /** Highest fee of a transaction, in the smallest unit. */
  readonly fee?: bigint;
  /** Value of a transaction, in the smallest unit. */
  readonly value?: bigint;
  readonly to?: string;
  /** Signed transactions are broadcast; everything else goes back to who asked. */
  readonly isBroadcast: boolean;
  /** For the host when the person declines. */
  readonly reservation?: string;
}
