/** The outgoing transactions of a profile: written before anything is sent, and whenever a host says what became of one. */

import { doubt, forget, type Learnt, learn, type Outgoing, type Status } from "./outgoing.js";
import type { Vault } from "./profile/store.js";

/** What a host said of a transaction. */
export interface Told {
  readonly hash: string;
  readonly status: Status;
}

/** Every method throws {@link ProfileError}; then the profile is as it was. */
export class Ledger {
  readonly #vault: Vault;

  constructor(vault: Vault) {
    this.#vault = vault;
  }

  /** All of them, in the order in which they were signed. */
  async entries(): Promise<readonly Outgoing[]> {
    return (await this.#vault.read()).outgoing;
  }

  /** A host's own answer to being given it, whatever was known before. */
  answered({ hash, status }: Told): Promise<void> {
    return this.change((entries) => learn(entries, hash.toLowerCase(), "answered", status));
  }

  /**
   * What came of a question that was asked when things stood as `before`: what another tab learnt since then is newer. Those that are `missing`
   * should have been told of, and were not.
   */
  learn(
    before: readonly Outgoing[],
    learnt: Learnt,
    told: readonly Told[],
    missing: readonly string[] = [],
  ): Promise<void> {
    return this.change((entries) => {
      const isAsBefore = (hash: string) => same(find(entries, hash), find(before, hash));
      const heard = told.map(({ hash, status }) => ({ hash: hash.toLowerCase(), status }));
      const after = heard
        .filter(({ hash }) => isAsBefore(hash))
        .reduce((kept, { hash, status }) => learn(kept, hash, learnt, status), entries);
      return doubt(after, missing.filter(isAsBefore));
    });
  }

  /** Their owner may believe from now on that these failed. */
  doubt(entries: readonly Outgoing[]): Promise<void> {
    return this.change((kept) =>
      doubt(
        kept,
        entries.map(({ hash }) => hash),
      ),
    );
  }

  /** Their owner has looked elsewhere, and pays beside these. */
  forget(hashes: readonly string[]): Promise<void> {
    return this.change((entries) => forget(entries, hashes));
  }

  /** Durable when it resolves; what changes nothing is not written. */
  change(change: (entries: readonly Outgoing[]) => readonly Outgoing[]): Promise<void> {
    return this.#vault.locked(async (profile, save) => {
      const outgoing = change(profile.outgoing);
      const isSame =
        outgoing.length === profile.outgoing.length && outgoing.every((entry, at) => same(entry, profile.outgoing[at]));
      if (!isSame) await save({ ...profile, outgoing });
    });
  }
}

function find(entries: readonly Outgoing[], hash: string): Outgoing | undefined {
  return entries.find((entry) => entry.hash === hash);
}

function same(one: Outgoing | undefined, other: Outgoing | undefined): boolean {
  return one?.hash === other?.hash && one?.state === other?.state && one?.isInDoubt === other?.isInDoubt;
}
