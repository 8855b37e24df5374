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
import { checksum } from "./evm/address.js";
import { parseUnsigned, type Transaction } from "./evm/transaction.js";

/** Most transactions of a wallet that a profile keeps. A host takes as many of one user that wait. */
export const OUTGOING_MAX = 256;
/** Places beyond those for what takes the place of one that is kept, or pays nobody: the ways out for whoever has no other left. */
const SPARE_MAX = 16;
/** Most transactions that a profile keeps: those of four wallets that all wait. Nobody takes another person's places before. */
export const LEDGER_MAX = 4 * OUTGOING_MAX;
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
  /**
   * As it stands, waiting or reverted, its owner meant something else beside it: until it stands at something else or is denied, it is no reason against
   * what is signed then either.
   */
  readonly staysAccepted?: boolean;
}

/** One that is about to be handed to a host. */
export type Unsent = Omit<Outgoing, "state" | "known" | "staysAccepted">;

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

/** What is kept, where it is of importance what else the wallet has. */
type Placed = Slot & Pick<Next, "unsigned" | "own">;

/**
 * With one more, which is about to be handed to a host, for the first time or once more: until that has answered it is in doubt. It goes beside those
 * that were accepted. `undefined` if there is no room. `own` as in {@link Next}.
 */
export function keep(
  entries: Entries,
  entry: Unsent,
  own: readonly string[],
  accepted: readonly Accepted[] = [],
): Entries | undefined {
  if (find(entries, entry.hash)) return doubt(accept(entries, accepted, entry), [entry.hash]);
  const left = withRoom(entries, { ...entry, own }, accepted);
  return left && [...left, { ...entry, state: "unsent", known: "doubtful" }];
}

/**
 * Those that stay where one more is to be kept, beside those that are accepted; `undefined` if there is no room. First goes what its owner meant
 * something beside while it waits; then the oldest nonce that is settled and stops nothing new. What waits or is in doubt stays, and what has the very
 * nonce.
 */
export function withRoom(entries: Entries, next: Placed, accepted: readonly Accepted[]): Entries | undefined {
  const isOwn = (entry: Outgoing) => entry.from === next.from || next.own.includes(entry.from);
  const isWayOut = paysNobody(next) || entries.some((entry) => isRival(entry, next));
  const places = OUTGOING_MAX + (isWayOut ? SPARE_MAX : 0);
  let left: Entries | undefined = accept(entries, accepted, next);
  while (left !== undefined) {
    const hasPlace = left.filter(isOwn).length < places;
    if (hasPlace && left.length < LEDGER_MAX) return left;
    const mayGo = (entry: Outgoing) => !isRival(entry, next) && (hasPlace || isOwn(entry));
    left = withoutOldest(left, mayGo);
  }
  return undefined;
}

/** One fewer, or one nonce; `undefined` if none may go. */
function withoutOldest(entries: Entries, mayGo: (entry: Outgoing) => boolean): Entries | undefined {
  const accepted = entries.find((entry) => entry.staysAccepted && entry.state === "waiting" && mayGo(entry));
  if (accepted !== undefined) return entries.filter((entry) => entry !== accepted);
  const settled = (["final", "mined", "reverted"] as const).map((state) => oldest(entries, state, mayGo));
  const over = settled.find((entry) => entry !== undefined);
  return over && entries.filter((other) => !isRival(other, over));
}

/** After what a host said of one. */
export function learn(entries: Entries, hash: string, learnt: Learnt, status: Status): Entries {
  const state = STATES[status];
  const left = change(entries, [hash], (entry) => ({
    state,
    known: knownBy(learnt, status) ?? entry.known,
    ...(entry.staysAccepted && { staysAccepted: state === entry.state }),
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
  return change(entries, hashes, (entry) => ({
    known: "doubtful",
    ...(entry.staysAccepted && { staysAccepted: false }),
  }));
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
    if (entry.staysAccepted || isAccepted(entry, next.accepted)) continue;
    const stopped = stoppedBy(entry, entries);
    if (stopped === "anything" || (stopped === "same" && isSame)) stops.push(entry);
    else if (!entries.some((other) => isRival(other, entry) && isInBlock(other))) beside.push(entry);
    else if (isSame && isDone(entry)) again.push(entry);
  }
  return { stops, beside, instead, again, isNonceRefused };
}

/** What somebody was shown of earlier transactions. */
export type Shown = Pick<Verdict, "stops" | "beside" | "instead" | "again">;

/**
 * What whoever approved it as it was `shown` has to be shown before it is signed as `next`: what was to give way to it and has another nonce, wherever
 * it stands by now and whether it is kept or not; what stops it, does the same beside it, or did.
 */
export function unseen(shown: Shown, now: Verdict, next: Slot & Pick<Next, "unsigned">): readonly Outgoing[] {
  const content = parseUnsigned(next.unsigned);
  const repeated = now.beside.filter(({ unsigned }) => doesTheSame(unsigned, content));
  const told = [...shown.stops, ...shown.beside, ...shown.again];
  const others = [...now.stops, ...repeated, ...now.again].filter(({ hash }) => find(told, hash) === undefined);
  const promised = shown.instead.filter((entry) => !isRival(entry, next));
  return [...promised, ...others.filter(({ hash }) => find(promised, hash) === undefined)];
}

/** True for what only uses up a nonce: nothing is paid for twice by it. */
export function paysNobody({ from, unsigned }: Pick<Unsent, "from" | "unsigned">): boolean {
  const { to, value, input } = parseUnsigned(unsigned);
  return to !== undefined && checksum(to) === from && value === 0n && input.length === 0;
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

/**
 * Their owner has looked, and something goes beside these: it is settled what they are, but for those under the very nonce of that. Of one that reverted
 * they believe that it failed, which it did.
 */
function accept(entries: Entries, accepted: readonly Accepted[], next: Slot): Entries {
  const isMeant = (entry: Outgoing) => isAccepted(entry, accepted) && !isRival(entry, next);
  const left = entries.filter((entry) => entry.state !== "unsent" || !isMeant(entry));
  return left.map((entry) => {
    if (!isMeant(entry)) return entry;
    const known = entry.state === "reverted" ? "doubtful" : "told";
    return { ...entry, known, staysAccepted: !isDone(entry) };
  });
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
  to: (entry: Outgoing) => Partial<Pick<Outgoing, "state" | "known" | "staysAccepted">>,
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

/** The oldest that stands so and may go, and under whose nonce nothing stops whatever is signed next. */
function oldest(
  entries: Entries,
  wanted: OutgoingState,
  mayGo: (entry: Outgoing) => boolean = () => true,
): Outgoing | undefined {
  const isQuiet = (entry: Outgoing) =>
    !entries.some((other) => isRival(other, entry) && stoppedBy(other, entries) === "anything");
  return entries.find((entry) => entry.state === wanted && mayGo(entry) && isQuiet(entry));
}
