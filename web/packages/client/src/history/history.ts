/**
 * The user's history: every attempt on their wallet's key, proved to be in the deployment's log, and whether any was left out.
 *
 * The enclave says, in a sealed reply, which version the wallet has in the log of the checkpoint that the same reply carries. Versions
 * follow one another without a gap, so the host, which stores the log, owes an entry for each of them, with a proof that leads to that
 * checkpoint's root. What an entry says, only the enclave can open. A host can refuse all this; it cannot leave an attempt out, put
 * another in its place, or show somebody else's.
 */

import { ApiError } from "../api/error.js";
import type { LogApi, LogItem, LogPage } from "../api/log.js";
import { type Bytes, equal } from "../bytes.js";
import { decode } from "../cbor/codec.js";
import { CborError } from "../cbor/error.js";
import type { Receipt } from "../profile/profile.js";
import { LOGGED_WRITES_MAX, type LoggedWrite, type History as Said } from "../protocol/history.js";
import { type Entry, entry, isIncluded, type Tree } from "../protocol/log.js";
import { type Attempt, merge, type Opened } from "./attempts.js";
import { bootMissing, disorder, foreign, forged, missing, unreadable } from "./error.js";

/** How often a request is made again after the host has had too many. */
const WAITS_MAX = 5;
/** Longest wait in between; a rate is counted by the minute. */
const WAIT_SECONDS_MAX = 70;
/** Pages of the deployment's events that are read, each of 32: enough for a boot an hour over a year. */
const EVENT_PAGES_MAX = 300;

/** What happened to the deployment; `unknown`: something this release does not know. Times in Unix seconds by the host's clock. */
export type Event = { /** Place in the log. */ readonly index: number } & (
  | { readonly kind: "boot"; readonly time: bigint }
  /** The operators changed the sealed configuration or, if `restores` grew, put an older state back, or let devices be enrolled again. */
  | {
      readonly kind: "configured";
      readonly time: bigint;
      readonly restores: number;
      readonly term: Bytes;
      readonly resumed: boolean;
    }
  /** Enrolment was paused for everybody: too many wrong PINs came from devices that are not enrolled. */
  | { readonly kind: "paused"; readonly time: bigint }
  | { readonly kind: "unknown" }
);

/** What was proved. */
export interface History {
  /** Number of the checkpoint everything is proved against. */
  readonly checkpoint: bigint;
  /** Entries in its log. */
  readonly size: bigint;
  /** Writes to this wallet in that log, by the enclave's word. */
  readonly writes: bigint;
  /** Of these, the newest so many were shown and proved, without a gap. */
  readonly proven: bigint;
  /** True if every attempt there ever was on this wallet's key is among those listed. */
  readonly isComplete: boolean;
  /** Attempts and preparations, newest first. */
  readonly attempts: readonly Attempt[];
  /** Events of the deployment since the oldest attempt listed, newest first. The host can leave all but the newest boot out. */
  readonly events: readonly Event[];
}

/** One `open_history`: what was said, for which wallet, and in which log. */
export interface Sealed {
  readonly said: Said;
  readonly wallet: Bytes;
  readonly checkpoint: Tree & { readonly sequence: bigint };
  /** That checkpoint, signed. */
  readonly receipt: Receipt;
}

/** What reading a history takes. */
export interface Sources {
  readonly log: LogApi;
  /** Asks the enclave to open these writes, which were proved in the log of `seen`. */
  open(writes: readonly LoggedWrite[], seen?: Receipt): Promise<Sealed>;
  /** H(boot keys) of the boot that answers. */
  readonly bootKeys: Bytes;
  sleep(milliseconds: number): Promise<void>;
}

/** The newest `attemptsMax` attempts, or all there ever were. */
export function readHistory(sources: Sources, attemptsMax?: number): Promise<History> {
  return new Reading(sources).read(attemptsMax);
}

class Reading {
  readonly #sources: Sources;

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  async read(attemptsMax: number | undefined): Promise<History> {
    const { said, wallet, checkpoint, receipt } = await this.#patiently(() => this.#sources.open([]));
    // An attempt has two writes at most, so with one write more every attempt that is listed has its charge.
    const most = attemptsMax === undefined ? undefined : 2n * BigInt(attemptsMax) + 1n;
    const isFromTheStart = most === undefined || most >= said.current;
    const wanted = isFromTheStart ? said.current : most;
    const proven = await this.#entries(checkpoint, wallet, said.current, wanted);
    const all = merge(await this.#openAll(proven, receipt), isFromTheStart);
    const attempts = all.slice(0, attemptsMax);
    // Where attempts have one write, more may be proved than were asked for.
    const isComplete = isFromTheStart && attempts.length === all.length;
    const events = await this.#events(checkpoint, attempts.at(-1)?.index ?? 0);
    const { sequence, size } = checkpoint;
    return { checkpoint: sequence, size, writes: said.current, proven: wanted, isComplete, attempts, events };
  }

  /** The entries of the newest `wanted` of `current` versions, newest first, each proved. */
  async #entries(tree: Tree, wallet: Bytes, current: bigint, wanted: bigint): Promise<LoggedWrite[]> {
    const proven: LoggedWrite[] = [];
    const oldest = current - wanted;
    let expected = current;
    let cursor: string | undefined;
    while (expected > oldest) {
      const { log } = this.#sources;
      const page: LogPage = await this.#patiently(() => log.writes(tree.size, expected - oldest, cursor));
      for (const item of page.items) {
        if (expected === oldest) break;
        const newer = proven.at(-1);
        inPlace(item, newer && Number(newer.index));
        proven.push(await writeOf(item, tree, wallet, expected));
        expected -= 1n;
      }
      if (expected > oldest && (page.items.length === 0 || page.next_cursor === undefined)) throw missing(expected);
      cursor = page.next_cursor;
    }
    return proven;
  }

  /** What the entries say, in their order; they were proved in the log of `seen`. */
  async #openAll(proven: readonly LoggedWrite[], seen: Receipt): Promise<Opened[]> {
    const opened: Opened[] = [];
    for (let at = 0; at < proven.length; at += LOGGED_WRITES_MAX) {
      const some = proven.slice(at, at + LOGGED_WRITES_MAX);
      const { said } = await this.#patiently(() => this.#sources.open(some, seen));
      for (const [place, write] of some.entries()) {
        const answer = said.writes[place];
        if (answer?.kind !== "opened") throw unreadable(write.version);
        opened.push({ write, detail: answer.value });
      }
    }
    return opened;
  }

  /** The deployment's events from `since` on. The newest boot is known from the evidence, so that one at least cannot be left out. */
  async #events(tree: Tree, since: number): Promise<Event[]> {
    const events: Event[] = [];
    let newestBoot: Bytes | undefined;
    let cursor: string | undefined;
    for (let pages = 0; pages < EVENT_PAGES_MAX; pages += 1) {
      const page: LogPage = await this.#patiently(() => this.#sources.log.events(tree.size, cursor));
      for (const item of page.items) {
        inPlace(item, events.at(-1)?.index);
        const read = await eventOf(item, tree);
        if (read?.kind === "boot") newestBoot ??= read.keys;
        events.push(shown(item.index, read));
      }
      const isEnough = newestBoot !== undefined && (events.at(-1)?.index ?? since) < since;
      cursor = page.next_cursor;
      if (cursor === undefined || page.items.length === 0 || isEnough) break;
    }
    if (newestBoot === undefined || !equal(newestBoot, this.#sources.bootKeys)) throw bootMissing();
    // The first one of before says which boot the oldest attempt listed belongs to.
    const before = events.findIndex(({ index }) => index < since);
    return before === -1 ? events : events.slice(0, before + 1);
  }

  /** Waits, where the host has had too many requests, as long as it says: a long history takes many. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    for (let waits = 0; ; waits += 1) {
      try {
        return await ask();
      } catch (error) {
        const seconds =
          error instanceof ApiError && error.code === "rate_limited" ? error.problem?.retryAfterSeconds : undefined;
        if (seconds === undefined || waits === WAITS_MAX) throw error;
        await this.#sources.sleep(Math.min(Math.max(seconds, 1), WAIT_SECONDS_MAX) * 1000);
      }
    }
  }
}

/** An entry is older than the one shown before it. */
function inPlace({ index }: LogItem, before: number | undefined): void {
  if (before !== undefined && index >= before) throw disorder(index);
}

/** The item, if it is in the log and is the entry of the write of `expected` to the wallet. */
async function writeOf(item: LogItem, tree: Tree, wallet: Bytes, expected: bigint): Promise<LoggedWrite> {
  const read = await provenEntry(item, tree);
  if (read?.kind !== "record" || !equal(read.wallet, wallet)) throw foreign(item.index);
  if (read.version !== expected) throw missing(expected);
  const { version, outer, detail } = read;
  return { version, outer, detail, index: BigInt(item.index), path: item.proof };
}

/** The item, if it is in the log and an event of the deployment; `undefined` if this release does not know its kind. */
async function eventOf(item: LogItem, tree: Tree): Promise<Entry | undefined> {
  const read = await provenEntry(item, tree);
  if (read?.kind === "record" || read?.kind === "read") throw foreign(item.index);
  return read;
}

async function provenEntry(item: LogItem, tree: Tree): Promise<Entry | undefined> {
  const isHashes = item.proof.every(({ length }) => length === 32);
  if (!isHashes || !(await isIncluded(item.entry, BigInt(item.index), tree, item.proof))) throw forged(item.index);
  try {
    return decode(entry, item.entry);
  } catch (error) {
    if (error instanceof CborError) return undefined;
    throw error;
  }
}

/** What an entry that is about no wallet says. */
export function shown(index: number, read: Entry | undefined): Event {
  switch (read?.kind) {
    case "boot":
      return { index, kind: "boot", time: read.time };
    case "configured": {
      const { time, restores, term, resumed } = read;
      return { index, kind: "configured", time, restores, term, resumed };
    }
    case "tripped":
      return { index, kind: "paused", time: read.time };
    default:
      return { index, kind: "unknown" };
  }
}
