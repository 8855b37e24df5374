/** Something to be signed, whoever asks: the page's own send screen, or an app over the bridge. */

import type { Account, Intent, PreparedTransaction, Signed, View } from "@pinseal/client";

/** What became of a request. */
export type Outcome =
  | { readonly kind: "signed" | "sent"; readonly signed: readonly Signed[] }
  /** Signed, and not known to be sent. What was handed over, and may be carried out, comes with it. */
  | { readonly kind: "unsent"; readonly code: string; readonly handedOver: readonly Signed[] }
  | { readonly kind: "declined" };

export interface Request {
  /** Who asks. An app is named by its origin, which it cannot choose. */
  readonly from: { readonly kind: "wallet" } | { readonly kind: "app"; readonly name: string; readonly origin: string };
  /** For whom it was made: nobody else is shown it, or signs it. */
  readonly user: string;
  /** The turn of the app that has it done: what the turn put up goes with it. */
  readonly turn?: AbortSignal | undefined;
  /** CAIP-2 id. */
  readonly network: string;
  readonly account: Account;
  /** What is sealed, and beside each what it means, made from the same bytes; of a transaction all but its nonce, see `proposed`. */
  readonly items: readonly { readonly intent: Intent; readonly view: View }[];
  /** The site that a message signs in at, where that is not the one that asks. */
  readonly elsewhere?: string;
  /** Highest fee of a transaction, in the smallest unit. */
  readonly fee?: bigint;
  /** Value of a transaction, in the smallest unit. */
  readonly value?: bigint;
  readonly to?: string;
  /** Signed transactions are broadcast; everything else goes back to who asked. */
  readonly isBroadcast: boolean;
  /** A transaction as it was proposed. Its nonce is taken when it has been approved: until then no other one waits for it. */
  readonly proposed?: PreparedTransaction;
  /** Hears once what became of it. */
  readonly told?: (outcome: Outcome) => void;
}
