/**
 * What was signed and may still be carried out, so that nothing is paid for twice. Pure: no clock, no storage, no network.
 *
 * A host says whether a transaction was sent, and names the next nonce. One that lies has a payment approved again under another nonce, and
 * carries out both. Of the transactions of one account under one nonce only one can be carried out, so a client keeps what it signed, with where
 * it stands by the host's word and what its owner knows of it. What was in doubt once stays so, also when it is in a block later: its owner is
 * told before anything is signed beside it. `vectors/client/outgoing.json` is the rule, case by case.
 */

import type { TransactionInfo } from "./api/transactions.js";
import { type Bytes, equal, toHex } from "./bytes.js";
import { parseUnsigned, type Transaction } from "./evm/transaction.js";

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
  readonly known: Known;
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

/** What the owner of a signed transaction knows of it. */
export type Known =
  /** They may believe that it failed, or was not sent. */
  | "doubtful"
  /** That it was sent; and not what came of it, for which they began to wait. */
  | "awaited"
  /** That it was sent, or what came of it. */
  | "told";

/**
 * A signed transaction and where it stood when its owner had looked elsewhere, where this host has no say, what became of it, and meant the next one
 * beside it.
 */
export type Accepted = Pick<Outgoing, "hash" | "state">;

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

/** Of those that have it in common, one can be carried out. */
type Slot = Pick<Outgoing, "network" | "from" | "nonce">;

/** What is to be signed next. */
export interface Next extends Slot, Pick<Outgoing, "unsigned"> {
  /** Its nonce was asked for, and not named by the host. */
  readonly replaces: boolean;
  /** Addresses of the wallet's accounts, in their EIP-55 spelling: what is made twice may come from two of them. */
  readonly own: readonly string[];
  readonly accepted: readonly Accepted[];
}

/** What a transaction does, whatever it costs. */
export type Content = Pick<Transaction, "to" | "value" | "input">;

/** What the transactions that are kept mean for the next one, each in the order in which they were signed. */
export interface Verdict {
  /** May be carried out beside it, or were, without their owner knowing. */
  readonly stops: readonly Outgoing[];
  /** Wait, and will be carried out beside it. */
  readonly beside: readonly Outgoing[];
  /** Have its nonce: it takes their place. */
  readonly instead: readonly Outgoing[];
  /** Did the same, and were carried out, which their owner was told: this one is meant to be done once more. */
  readonly again: readonly Outgoing[];
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
 * With one more, which is about to be handed to a host, for the first time or once more: until that has answered it is in doubt. It goes beside those
 * that were accepted. Where as many are kept as may be, the oldest nonce that is settled and stops nothing new makes room. `undefined` if none can.
 */
export function keep(
  entries: Entries,
  entry: Omit<Outgoing, "state" | "known">,
  accepted: readonly Accepted[] = [],
): Entries | undefined {
  if (find(entries, entry.hash)) return doubt(accept(entries, accepted, entry), [entry.hash]);
  const left = withRoom(entries, accepted, entry);
  return left && [...left, { ...entry, state: "unsent", known: "doubtful" }];
}

/** Those that stay where one more is to be kept, beside those that are accepted; `undefined` if there is no room. */
export function withRoom(entries: Entries, accepted: readonly Accepted[], next: Slot): Entries | undefined {
  const left = accept(entries, accepted, next);
  if (left.length < OUTGOING_MAX) return left;
  const over = oldest(left, "final") ?? oldest(left, "mined") ?? oldest(left, "reverted");
  return over && left.filter((other) => !isRival(other, over));
}

/** After what a host said of one. */
export function learn(entries: Entries, hash: string, learnt: Learnt, status: Status): Entries {
  const left = change(entries, [hash], ({ known }) => ({
    state: STATES[status],
    known: knownBy(learnt, status) ?? known,
  }));
  const over = left.filter(({ state }) => state === "final").length > FINAL_MAX ? oldest(left, "final") : undefined;
  return over === undefined ? left : left.filter((other) => !isRival(other, over));
}

/**
 * After what a host said of one by an answer that was on its way while something else was learnt of it. Where it stands that says better; but its
 * owner was told what this one says.
 */
export function learnLate(entries: Entries, hash: string, learnt: Learnt, status: Status): Entries {
  return knownBy(learnt, status) === "doubtful" ? doubt(entries, [hash]) : entries;
}

/** Their owner was shown a list without these, or told that nothing can be told of them: they may believe that they failed. */
export function doubt(entries: Entries, hashes: readonly string[]): Entries {
  return change(entries, hashes, () => ({ known: "doubtful" }));
}

/** Their owner was stopped by these, as they stood: they may believe that they failed, unless they have read that they were carried out. */
export function stopped(entries: Entries, them: Entries): Entries {
  const unread = them.filter((entry) => !isDone(entry));
  return doubt(
    entries,
    unread.map(({ hash }) => hash),
  );
}

/** Its owner begins to wait for what comes of it. */
export function awaited(entries: Entries, hash: string): Entries {
  return change(entries, [hash], ({ known }) => ({ known: known === "told" ? "awaited" : known }));
}

/** The one with this hash, in lower case. */
export function find(entries: Entries, hash: string): Outgoing | undefined {
  return entries.find((entry) => entry.hash === hash);
}

/** Those of an account on a network, its address in any spelling. */
export function ofAccount<T extends Pick<TransactionInfo, "network" | "from">>(
  all: readonly T[],
  { network, from }: Pick<T, "network" | "from">,
): readonly T[] {
  return all.filter((one) => one.network === network && isSpelt(one.from, from));
}

/** Whether a host speaks of what was signed, its addresses in any spelling. */
export function isOf(entry: Slot & Pick<Outgoing, "unsigned">, said: TransactionInfo): boolean {
  const { to, value } = parseUnsigned(entry.unsigned);
  const isFrom = ofAccount([said], entry).length > 0 && BigInt(said.nonce) === entry.nonce;
  return isFrom && isSpelt(said.to, to && `0x${toHex(to)}`) && said.value === value;
}

/** What is kept means this for the next one. */
export function judge(entries: Entries, next: Next): Verdict {
  const [stops, beside, instead, again]: [Outgoing[], Outgoing[], Outgoing[], Outgoing[]] = [[], [], [], []];
  const content = parseUnsigned(next.unsigned);
  let isNonceRefused = false;
  for (const entry of entries) {
    if (isRival(entry, next)) {
      isNonceRefused ||= isInBlock(entry) || (!isDoubtful(entry) && !next.replaces);
      if (!isInBlock(entry)) instead.push(entry);
      continue;
    }
    const isSame = doesTheSame(entry.unsigned, content);
    const isHere = entry.network === next.network && entry.from === next.from;
    if (!isHere && !(isSame && next.own.includes(entry.from))) continue;
    if (isAccepted(entry, next.accepted)) continue;
    const stopped = stoppedBy(entry, entries);
    if (stopped === "anything" || (stopped === "same" && isSame)) stops.push(entry);
    else if (!entries.some((other) => isRival(other, entry) && isInBlock(other))) beside.push(entry);
    else if (isSame && isDone(entry)) again.push(entry);
  }
  return { stops, beside, instead, again, isNonceRefused };
}

/** Recipient, value and call data are the same. */
export function doesTheSame(unsigned: Bytes, { to, value, input }: Content): boolean {
  const one = parseUnsigned(unsigned);
  const isSameRecipient = one.to === undefined ? to === undefined : to !== undefined && equal(one.to, to);
  return isSameRecipient && one.value === value && equal(one.input, input);
}

/** What may be paid for twice because of this one, if it is signed under another nonce. */
function stoppedBy(entry: Outgoing, entries: Entries): "anything" | "same" | "nothing" {
  const rivals = entries.filter((other) => isRival(other, entry));
  const others = rivals.filter((other) => other !== entry);
  if (isDone(entry)) return ({ doubtful: "anything", awaited: "same", told: "nothing" } as const)[entry.known];
  if (entry.state === "reverted") return "same";
  // Its owner signed the last one in place of the others: what they know of that is what they go by.
  const last = rivals.at(-1) ?? entry;
  const content = parseUnsigned(entry.unsigned);
  if (others.some(isInBlock)) {
    // Which of them is in a block is the host's word.
    if (others.some((other) => isDone(other) && doesTheSame(other.unsigned, content))) return "nothing";
    return last === entry && entry.known === "doubtful" ? "anything" : "same";
  }
  if (!isDoubtful(entry)) return "nothing";
  if (isDoubtful(last)) return "anything";
  return others.some((other) => !isDoubtful(other) && doesTheSame(other.unsigned, content)) ? "nothing" : "anything";
}

/** Their owner has looked, and something goes beside these: they are settled, but for those under the very nonce of that. */
function accept(entries: Entries, accepted: readonly Accepted[], next: Slot): Entries {
  const isMeant = (entry: Outgoing) => isAccepted(entry, accepted) && !isRival(entry, next);
  const left = entries.filter((entry) => isDone(entry) || !isMeant(entry));
  return left.map((entry) => (isMeant(entry) ? { ...entry, known: "told" } : entry));
}

/** It stands as it stood when its owner looked; what is mined becomes final. */
function isAccepted(entry: Outgoing, accepted: readonly Accepted[]): boolean {
  const standsSo = (one: Accepted) => one.state === entry.state || (isDone(one) && isDone(entry));
  return accepted.some((one) => one.hash === entry.hash && standsSo(one));
}

/** What the owner knows of it by what they were told; `undefined` for what they knew before. */
function knownBy(learnt: Learnt, status: Status): Known | undefined {
  if (learnt === "heard") return undefined;
  if (status === "pending") return learnt === "answered" ? "told" : undefined;
  if (status === "mined" || status === "final") return learnt === "shown" ? undefined : "told";
  return "doubtful";
}

function change(
  entries: Entries,
  hashes: readonly string[],
  to: (entry: Outgoing) => Partial<Pick<Outgoing, "state" | "known">>,
): Entries {
  return entries.map((entry) => (hashes.includes(entry.hash) ? { ...entry, ...to(entry) } : entry));
}

/** Of them one can be carried out. */
export function isRival(one: Slot, other: Slot): boolean {
  return one.network === other.network && one.from === other.from && one.nonce === other.nonce;
}

/** The same address, or none. */
function isSpelt(one: string | undefined, other: string | undefined): boolean {
  return one?.toLowerCase() === other?.toLowerCase();
}

/** In a block, and did there what it says. */
function isDone({ state }: Pick<Outgoing, "state">): boolean {
  return state === "mined" || state === "final";
}

/** In a block: nothing else under its nonce can be carried out then. */
export function isInBlock(entry: Outgoing): boolean {
  return isDone(entry) || entry.state === "reverted";
}

/** Its owner may believe that it failed; or the host says so. */
function isDoubtful({ state, known }: Outgoing): boolean {
  return known === "doubtful" || state === "unsent";
}

/** The oldest that stands so, and under whose nonce nothing stops whatever is signed next. */
function oldest(entries: Entries, wanted: OutgoingState): Outgoing | undefined {
  const isQuiet = (entry: Outgoing) =>
    !entries.some((other) => isRival(other, entry) && stoppedBy(other, entries) === "anything");
  return entries.find((entry) => entry.state === wanted && isQuiet(entry));
}
