/** Where a profile lies, and one change after the other. */

import { generateDeviceKey } from "./device.js";
import type { Profile, StoredProfile } from "./profile.js";

/** Exclusive use of a profile while the work runs. */
export interface ProfileAccess {
  /** `undefined` if there is none yet. */
  load(): Promise<StoredProfile | undefined>;
  /** Durable when it resolves; if it rejects, the old one is still whole. */
  save(profile: Profile): Promise<void>;
}

/** Where a profile lies: in the browser's database, in memory, or where an app puts it. */
export interface ProfileStore {
  /** Waits until nobody else, in this page or in another tab, uses the profile, and does the work. */
  exclusive<T>(work: (access: ProfileAccess) => Promise<T>): Promise<T>;
}

/** A profile for as long as this object lives: for Node, and for tests. */
export class MemoryStore implements ProfileStore {
  #profile: Profile | undefined;
  #last: Promise<unknown> = Promise.resolve();

  exclusive<T>(work: (access: ProfileAccess) => Promise<T>): Promise<T> {
    const access: ProfileAccess = {
      load: async () => this.#profile,
      save: async (profile) => {
        this.#profile = profile;
      },
    };
    const mine = this.#last.then(() => work(access));
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}

/** A profile store that makes the profile at its first use. */
export class Vault {
  readonly #store: ProfileStore;

  constructor(store: ProfileStore) {
    this.#store = store;
  }

  /** The profile as it is now. */
  read(): Promise<Profile> {
    return this.locked(async (profile) => profile);
  }

  /** Changes the profile in one step; a `change` that throws changes nothing. */
  update(change: (profile: Profile) => Profile): Promise<Profile> {
    return this.locked(async (profile, save) => {
      const changed = change(profile);
      await save(changed);
      return changed;
    });
  }

  /** Exclusive use across waits: for the refresh of a session. The work must not use the vault again. */
  locked<T>(work: (profile: Profile, save: (profile: Profile) => Promise<void>) => Promise<T>): Promise<T> {
    return this.#store.exclusive(async (access) => {
      const profile = (await access.load()) ?? (await make(access));
      return work({ ...profile, outgoing: profile.outgoing ?? [] }, access.save);
    });
  }
}

async function make(access: ProfileAccess): Promise<StoredProfile> {
  const device = await generateDeviceKey();
  const profile = {
    device,
    session: undefined,
    deployment: undefined,
    protection: undefined,
    wallets: new Map(),
    receipt: undefined,
    outgoing: [],
  };
  await access.save(profile);
  return profile;
}
