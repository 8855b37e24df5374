/** The outgoing transactions of a profile: written before anything is sent, and whenever a host says what became of one. */

import { misreported, type TransactionInfo } from "./api/transactions.js";
import { awaited, doubt, find, isOf, type Learnt, learn, learnLate, type Outgoing } from "./outgoing.js";
import { currentWallet, type Profile } from "./profile/profile.js";
import type { Vault } from "./profile/store.js";

/** What a host said of a transaction: something, or that there is none. */
export type Told = TransactionInfo | { readonly hash: string; readonly status: "unknown" };

/** What a profile keeps for whoever is logged in. */
interface Kept {
  /** All of them, in the order in which they were signed. */
  readonly entries: readonly Outgoing[];
  /** Addresses of the wallet's accounts. */
  readonly own: readonly string[];
}

/** Every method throws {@link ProfileError}; then the profile is as it was. */
export class Ledger {
  readonly #vault: Vault;

  constructor(vault: Vault) {
    this.#vault = vault;
  }

  async kept(): Promise<Kept> {
    return keptIn(await this.#vault.read());
  }

  /** All of them, in the order in which they were signed. */
  async entries(): Promise<readonly Outgoing[]> {
    return (await this.kept()).entries;
  }

  /** A host's own answer to being given it, whatever was known before. */
  answered({ hash, status }: Told): Promise<void> {
    return this.change(({ entries }) => learn(entries, hash.toLowerCase(), "answered", status));
  }

  /**
   * What came of a question that was asked when things stood as `before`: what another tab learnt since then is newer, and the answer late. Those
   * that are `missing` should have been told of, and were not. Says whether the answer was late for any. Throws {@link ApiError} where it says of
   * one anything but what was signed: nothing of it is believed then, and that one is in doubt.
   */
  async learn(
    before: readonly Outgoing[],
    learnt: Learnt,
    told: readonly Told[],
    missing: readonly string[] = [],
  ): Promise<boolean> {
    let [isFalse, isLate] = [false, false];
    await this.change(({ entries }) => {
      const heard = told.map((said): Told => ({ ...said, hash: said.hash.toLowerCase() }));
      const wrong = heard.filter((said) => isWrong(find(entries, said.hash), said)).map(({ hash }) => hash);
      isFalse = wrong.length > 0;
      if (isFalse) return doubt(entries, wrong);
      const after = heard.reduce((kept, { hash, status }) => {
        const isAsBefore = same(find(entries, hash), find(before, hash));
        isLate ||= !isAsBefore;
        return (isAsBefore ? learn : learnLate)(kept, hash, learnt, status);
      }, entries);
      return doubt(after, missing);
    });
    if (isFalse) throw misreported();
    return isLate;
  }

  /** Its owner begins to wait for it. */
  awaited(hash: string): Promise<void> {
    return this.change(({ entries }) => awaited(entries, hash.toLowerCase()));
  }

  /** Its owner may believe from now on that it failed. */
  doubt(hash: string): Promise<void> {
    return this.change(({ entries }) => doubt(entries, [hash.toLowerCase()]));
  }

  /** Durable when it resolves; what changes nothing is not written. */
  change(change: (kept: Kept) => readonly Outgoing[]): Promise<void> {
    return this.#vault.locked(async (profile, save) => {
      const outgoing = change(keptIn(profile));
      const isSame =
        outgoing.length === profile.outgoing.length && outgoing.every((entry, at) => same(entry, profile.outgoing[at]));
      if (!isSame) await save({ ...profile, outgoing });
    });
  }
}

function keptIn(profile: Profile): Kept {
  return { entries: profile.outgoing, own: [...(currentWallet(profile)?.addresses.values() ?? [])] };
}

/** Speaks of one that was signed, and not of what was signed. */
function isWrong(entry: Outgoing | undefined, said: Told): boolean {
  return entry !== undefined && said.status !== "unknown" && !isOf(entry, said);
}

function same(one: Outgoing | undefined, other: Outgoing | undefined): boolean {
  const isAsAccepted = (one?.staysAccepted ?? false) === (other?.staysAccepted ?? false);
  return one?.hash === other?.hash && one?.state === other?.state && one?.known === other?.known && isAsAccepted;
}
