/** Everything the page shows, as one value. Screens are functions of it; flows change it. */

import type {
  Account,
  DeviceInfo,
  History,
  NetworkInfo,
  Outgoing,
  PreparedTransaction,
  Protection,
  Signed,
  TransactionInfo,
  Tries,
  Verified,
} from "@pinseal/client";
import type { Consent } from "../consents.ts";
import type { Look } from "../entry.ts";
import type { MessageKey, Values } from "../i18n/messages.ts";
import type { Preferences } from "../preferences.ts";
import type { Request } from "../request.ts";
import type { ListedToken } from "../settings.ts";

/** Something to tell, in the reader's language. */
export interface Note {
  readonly text: MessageKey;
  readonly values?: Values;
  /** Stable, for support. */
  readonly code?: string;
}

/** Screens of somebody whose wallet is open; each has an address of its own in the page's history. */
export const PLACES = ["home", "receive", "send", "activity", "devices", "history", "settings", "protection"] as const;
export type Place = (typeof PLACES)[number];

export type Screen =
  | { readonly name: "starting" }
  | { readonly name: "unavailable"; readonly problem: Note }
  | { readonly name: "logIn"; readonly told?: Note }
  | { readonly name: "signUp" }
  | { readonly name: "confirm"; readonly email: string }
  | { readonly name: "forgotten" }
  | { readonly name: "reset"; readonly email: string; readonly contested: boolean }
  | { readonly name: "create" }
  | { readonly name: "enrol"; readonly address: string }
  | { readonly name: Place };

/** Something the host was asked for. */
export type Loaded<T> =
  | { readonly kind: "loading" }
  | { readonly kind: "failed"; readonly problem: Note }
  | { readonly kind: "here"; readonly value: T };

/** What was sent from an account, as the host says, and what this device knows beside that. */
export interface Activity {
  /** Newest first. */
  readonly items: readonly TransactionInfo[];
  /** What this device signed and should be there, in the order of signing. */
  readonly unlisted: readonly Outgoing[];
  /** How many this device signed with the account on other networks, by their CAIP-2 ids. */
  readonly elsewhere: ReadonlyMap<string, number>;
}

/** What an account holds of a token, in its smallest unit. */
export interface Holding {
  readonly token: ListedToken;
  readonly amount: bigint;
}

/** A listed token that could not be read, and why. */
export interface Unread {
  readonly token: ListedToken;
  readonly problem: "not_a_token" | "unavailable";
}

/** Told from one that could not be read. */
export const isHeld = (token: Holding | Unread): token is Holding => "amount" in token;

/** The open wallet. */
export interface Wallet {
  /** Whose it is. */
  readonly user: string;
  readonly accounts: readonly Account[];
  readonly networks: readonly NetworkInfo[];
  readonly network: NetworkInfo;
  readonly account: Account;
  readonly balance: Loaded<bigint>;
  readonly activity: Loaded<Activity>;
  /** Tokens that the operator lists for this network, with what the account holds. */
  readonly tokens: Loaded<readonly (Holding | Unread)[]>;
  /** Every attempt on the wallet's key, proved; read when somebody looks. */
  readonly history: Loaded<History>;
  readonly devices: readonly DeviceInfo[];
  /** This device's thumbprint in hex. */
  readonly device: string;
  readonly tries: Tries;
  /** A new PIN waits for its confirmation. */
  readonly changePending: boolean;
}

/** What protects a PIN here, as the evidence of this moment says. */
export interface Shield {
  readonly verified: Verified;
  readonly protection: Protection;
  /** Id of the deployment in hex. */
  readonly deployment: string;
  readonly isFirstUse: boolean;
}

/** What a PIN is wanted for. */
export type Purpose = "create" | "enrol" | "sign" | "verify" | "change" | "finishChange" | "revoke" | "clear";

/** The dialog in which a PIN is entered, and everything that comes before the pad opens. */
export type Pad =
  | { readonly step: "checking"; readonly purpose: Purpose }
  | { readonly step: "protection"; readonly before: Protection; readonly now: Protection }
  | { readonly step: "restored"; readonly number: number }
  | {
      readonly step: "enter";
      readonly purpose: Purpose;
      /** Whose PIN: the one in force, a new one, or the new one once more. */
      readonly role: "current" | "new" | "again";
      readonly shield: Shield;
      readonly told: Note | undefined;
      /** No PIN is taken before this time, in milliseconds since 1970. */
      readonly notBefore: number | undefined;
      /** Makes each entry a pad of its own, with no digit of the last. */
      readonly entry: number;
    }
  | { readonly step: "working"; readonly purpose: Purpose }
  | { readonly step: "stopped"; readonly problem: Note; readonly canRetry: boolean };

/** What somebody does in that dialog. */
export type PadAnswer =
  | { readonly kind: "digits"; readonly digits: Uint8Array }
  | { readonly kind: "accept" }
  | { readonly kind: "retry" }
  | { readonly kind: "cancel" };

/** A request on its way: looked at, signed, sent. */
export type Open = {
  readonly request: Request;
} & (
  | { readonly step: "review" }
  | { readonly step: "sending"; readonly signed: readonly Signed[] }
  | {
      readonly step: "unsent";
      readonly problem: Note;
      readonly signed: readonly Signed[];
      readonly approved: PreparedTransaction | undefined;
    }
  | { readonly step: "sent"; readonly transaction: TransactionInfo }
);

/** An app that was let in, as the operator registered it, at the origin that the browser vouches for. */
export interface GuestApp {
  readonly id: string;
  readonly name: string;
  readonly origin: string;
  readonly look: Look;
}

/** For whom the page was opened, if not for its owner alone. Before `ready` nothing of the wallet is shown. */
export type Guest =
  | { readonly entry: "frame" | "popup"; readonly step: "connecting" | "lost" }
  | { readonly entry: "frame" | "popup"; readonly step: "ready"; readonly app: GuestApp };

/** An app's wish to see the wallet. */
export interface ConsentQuestion {
  readonly app: GuestApp;
  readonly turn: AbortSignal;
  readonly answer: (isGranted: boolean) => void;
}

/** An app's wish that the wallet's owner enters their PIN, or chooses another. */
export interface PinQuestion {
  readonly app: GuestApp;
  readonly turn: AbortSignal;
  readonly purpose: "verify" | "change";
}

/** Earlier transactions that may be carried out beside the one that is to be signed, or were, for their owner to look what became of them. */
export interface UnsettledQuestion {
  /** Who asks for the one that is to be signed. */
  readonly from: Request["from"];
  readonly turn: AbortSignal | undefined;
  readonly earlier: readonly Outgoing[];
  /** What it was shown to take the place of. */
  readonly promised: readonly Outgoing[];
  /** Their owner has looked, and it goes on. */
  readonly isGoingOn: boolean;
  readonly answer: (hasLooked: boolean) => void;
}

/** What an app filled in beforehand. */
export interface Wanted {
  readonly email?: string;
  readonly to?: string;
  readonly amount?: string;
  /** The turn of the app that did. */
  readonly turn?: AbortSignal;
  /** Tells one form from the next, whatever is filled in. */
  readonly form?: number;
}

export interface State {
  readonly screen: Screen;
  /** E-mail address of whoever is logged in. */
  readonly user: string | undefined;
  readonly wallet: Wallet | undefined;
  readonly shield: Shield | undefined;
  readonly pad: Pad | undefined;
  readonly open: Open | undefined;
  /** Something is under way that a form has started. */
  readonly busy: boolean;
  /** What went wrong with it. */
  readonly problem: Note | undefined;
  /** Something to say in passing. */
  readonly toast: Note | undefined;
  readonly preferences: Preferences;
  readonly guest: Guest | undefined;
  readonly consent: ConsentQuestion | undefined;
  /** An app asks for the PIN itself, and for nothing to be signed. */
  readonly pinAsked: PinQuestion | undefined;
  readonly unsettled: UnsettledQuestion | undefined;
  /** What an app asks has just come up: nothing agrees to it yet. */
  readonly isFresh: boolean;
  /** Everybody's on this device. */
  readonly consents: readonly Consent[];
  readonly wanted: Wanted;
}
