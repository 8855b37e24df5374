/**
 * What was signed and may still be carried out, so that nothing is paid for twice. Pure: no clock, no storage, no network.
 *
 * A host says whether a transaction was sent, and names the next nonce. One that lies has a payment approved again under another nonce, and
 * carries out both. Of the transactions of one account under one nonce only one can be carried out, so a client keeps what it signed, with where
 * it stands by the host's word and whether its owner may believe that it failed. What was in doubt once stays so, also when it is in a block
 * later: its owner is told before anything is signed beside it. `vectors/client/outgoing.json` is the rule, case by case.
 */

import type { TransactionInfo } from "./api/transactions.js";
import { type Bytes, equal } from "./bytes.js";
import { parseUnsigned } from "./evm/transaction.js";

/** Most transactions that a profile keeps. */
export const OUTGOING_MAX = 256;
/** Most final ones kept among them, for what is signed or said of their nonces after that. */
const FINAL_MAX = 16;

/** A signed transaction that is not settled, or was lately. Everything in it survives a structured clone. */
export interface Outgoing {
  /** CAIP-2 id. */
  readonly network: string;
  /** The account that signed, in its EIP-55 spelling. */
  readonly from: string;
  /** Of those under one nonce, one can be carried out. */
  readonly nonce: bigint;
  /** Keccak-256 of the signed bytes, in lower-case hex with 0x. */
  readonly hash: string;
  /** The bytes that were approved: what it does is read from them, and nothing of it is the host's. */
  readonly unsigned: Bytes;
  /** Unix seconds, by this device's clock. */
  readonly signedAt: number;
  readonly state: OutgoingState;
  /** Its owner may believe that it failed, or was not sent. */
  readonly isInDoubt: boolean;
}

/** Where a signed transaction stands, by the host's word. */
export type OutgoingState =
  /** Not with the network; or nobody has answered yet. */
  | "unsent"
  /** A host took it. */
  | "waiting"
  /** In a block. */
  | "mined"
  /** In a block, where it did nothing. */
  | "reverted"
  /** In a block that will not go away. */
  | "final";

/** A status of the API, or that there is no such transaction. */
export type Status = TransactionInfo["status"] | "unknown";

/** How something was learnt, and what its owner knows by it. */
export type Learnt =
  /** The host's own answer to being given it; the owner is told. */
  | "answered"
  /** The owner waited for it, and is told what came of it. */
  | "followed"
  /** It was shown to the owner, who may have read it, or not. */
  | "shown"
  /** Nobody was told. */
  | "heard";

/** What is to be signed next. */
export interface Next extends Pick<Outgoing, "network" | "from" | "nonce" | "unsigned"> {
  /** Its nonce was asked for, and not named by the host. */
  readonly replaces: boolean;
}

/** What the transactions that are kept mean for the next one, each in the order in which they were signed. */
export interface Verdict {
  /** May be carried out beside it, or were, without their owner knowing. */
  readonly stops: readonly Outgoing[];
  /** Wait, and will be carried out beside it. */
  readonly beside: readonly Outgoing[];
  /** Have its nonce: it takes their place. */
  readonly instead: readonly Outgoing[];
  /** No honest host names this nonce: it is used up, or that of one that waits and is not to be replaced. */
  readonly isNonceRefused: boolean;
}

type Entries = readonly Outgoing[];

const STATES: Readonly<Record<Status, OutgoingState>> = {
  pending: "waiting",
  mined: "mined",
  failed: "reverted",
  final: "final",
  dropped: "unsent",
  replaced: "unsent",
  unknown: "unsent",
};

/**
 * With one more, which is about to be handed to a host, for the first time or once more: until that has answered it is in doubt. Where as many
 * are kept as may be, the oldest nonce that is settled and stops nothing makes room. `undefined` if none can.
 */
export function keep(entries: Entries, entry: Omit<Outgoing, "state" | "isInDoubt">): Entries | undefined {
  if (entries.some(({ hash }) => hash === entry.hash)) return doubt(entries, [entry.hash]);
  const left = withRoom(entries);
  return left && [...left, { ...entry, state: "unsent", isInDoubt: true }];
}

/** Those that stay where one more is to be kept; `undefined` if there is no room. */
export function withRoom(entries: Entries): Entries | undefined {
  if (entries.length < OUTGOING_MAX) return entries;
  const over = oldest(entries, "final") ?? oldest(entries, "mined") ?? oldest(entries, "reverted");
  return over && entries.filter((other) => !isRival(other, over));
}

/** After what a host said of one. */
export function learn(entries: Entries, hash: string, learnt: Learnt, status: Status): Entries {
  const isDone = status === "mined" || status === "final";
  const isAsBefore = learnt === "heard" || (learnt !== "answered" && status === "pending");
  const after = (entry: Outgoing) => {
    const state = entry.state === "final" ? entry.state : STATES[status];
    if (isAsBefore || (learnt === "shown" && isDone)) return { ...entry, state };
    return { ...entry, state, isInDoubt: !(isDone || (learnt === "answered" && status === "pending")) };
  };
  const left = entries.map((entry) => (entry.hash === hash ? after(entry) : entry));
  const over = left.filter(({ state }) => state === "final").length > FINAL_MAX ? oldest(left, "final") : undefined;
  return over === undefined ? left : left.filter((other) => !isRival(other, over));
}

/** Their owner was stopped by these, or shown a list without them: they may believe that they failed. */
export function doubt(entries: Entries, hashes: readonly string[]): Entries {
  return entries.map((entry) => (hashes.includes(entry.hash) ? { ...entry, isInDoubt: true } : entry));
}

/** Their owner has looked elsewhere, and pays beside these. */
export function forget(entries: Entries, hashes: readonly string[]): Entries {
  return entries
    .filter((entry) => !hashes.includes(entry.hash) || isDone(entry))
    .map((entry) => (hashes.includes(entry.hash) ? { ...entry, isInDoubt: false } : entry));
}

/** Those of an account on a network, its address in any spelling. */
export function ofAccount(entries: Entries, { network, from }: Pick<Outgoing, "network" | "from">): Entries {
  return entries.filter((entry) => entry.network === network && entry.from.toLowerCase() === from.toLowerCase());
}

/** What is kept means this for the next one. */
export function judge(entries: Entries, next: Next): Verdict {
  const [stops, beside, instead]: [Outgoing[], Outgoing[], Outgoing[]] = [[], [], []];
  let isNonceRefused = false;
  for (const entry of ofAccount(entries, next)) {
    if (entry.nonce === next.nonce) {
      isNonceRefused ||= isInBlock(entry) || (!isDoubtful(entry) && !next.replaces);
      if (!isInBlock(entry)) instead.push(entry);
    } else if (doesStop(entry, entries, next.unsigned)) stops.push(entry);
    else if (!entries.some((other) => isRival(other, entry) && isInBlock(other))) beside.push(entry);
  }
  return { stops, beside, instead, isNonceRefused };
}

/** Recipient, value and call data are the same. */
export function doesTheSame(one: Bytes, other: Bytes): boolean {
  const [a, b] = [parseUnsigned(one), parseUnsigned(other)];
  const isSameRecipient = a.to === undefined ? b.to === undefined : b.to !== undefined && equal(a.to, b.to);
  return isSameRecipient && a.value === b.value && equal(a.input, b.input);
}

/** Whether something under another nonce may be paid for twice because of this one. Without `unsigned`: whatever that is. */
function doesStop(entry: Outgoing, entries: Entries, unsigned: Bytes | undefined): boolean {
  const rivals = entries.filter((other) => isRival(other, entry));
  const others = rivals.filter((other) => other !== entry);
  const isSame = () => unsigned !== undefined && doesTheSame(entry.unsigned, unsigned);
  if (isDone(entry)) return entry.isInDoubt;
  if (entry.state === "reverted") return isSame();
  if (others.some(isInBlock)) {
    // Which of them is in a block is the host's word.
    if (others.some((other) => isDone(other) && doesTheSame(other.unsigned, entry.unsigned))) return false;
    return isSame() || (rivals.at(-1) === entry && entry.isInDoubt);
  }
  if (!isDoubtful(entry)) return false;
  // Its owner signed the last one in place of the others: what they know of that is what they go by.
  const last = rivals.at(-1);
  if (last !== undefined && isDoubtful(last)) return true;
  return isSame() && !others.some((other) => !isDoubtful(other) && doesTheSame(other.unsigned, entry.unsigned));
}

/** Of them one can be carried out. */
function isRival(one: Outgoing, other: Outgoing): boolean {
  return one.network === other.network && one.from === other.from && one.nonce === other.nonce;
}

/** In a block, and did there what it says. */
export function isDone({ state }: Outgoing): boolean {
  return state === "mined" || state === "final";
}

/** In a block: nothing else under its nonce can be carried out then. */
function isInBlock(entry: Outgoing): boolean {
  return isDone(entry) || entry.state === "reverted";
}

/** Its owner may believe that it failed; or the host says so. */
function isDoubtful({ state, isInDoubt }: Outgoing): boolean {
  return isInDoubt || state === "unsent";
}

/** The oldest that stands so, and under whose nonce nothing stops whatever is signed next. */
function oldest(entries: Entries, wanted: OutgoingState): Outgoing | undefined {
  const isQuiet = (entry: Outgoing) =>
    !entries.some((other) => isRival(other, entry) && doesStop(other, entries, undefined));
  return entries.find((entry) => entry.state === wanted && isQuiet(entry));
}
