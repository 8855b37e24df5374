/** A profile in the browser's IndexedDB, under one lock for all tabs. */

import { ProfileError, type StoredProfile } from "./profile.js";
import { MemoryStore, type ProfileAccess, type ProfileStore } from "./store.js";

const STORE = "profiles";

/**
 * One profile of one origin. The device key lies in it as a `CryptoKey` that no script can read. Tabs take turns by Web Locks;
 * where there are none (browsers before 2022), only the calls of one tab do, and two tabs that refresh at once end the session.
 */
export class IndexedDbStore implements ProfileStore {
  readonly #name: string;
  readonly #here = new MemoryStore();

  /** `name` tells profiles of one origin apart: one for each deployment. */
  constructor(name = "pinseal") {
    this.#name = name;
  }

  exclusive<T>(work: (access: ProfileAccess) => Promise<T>): Promise<T> {
    const access: ProfileAccess = {
      load: () => this.#with("readonly", (store) => store.get(this.#name)) as Promise<StoredProfile | undefined>,
      save: async (profile) => {
        await this.#with("readwrite", (store) => store.put(profile, this.#name));
      },
    };
    const locks = globalThis.navigator?.locks;
    if (locks === undefined) return this.#here.exclusive(() => work(access));
    // Typed by hand: not every version of the DOM's types gives back what the work gives back.
    return locks.request(`pinseal profile ${this.#name}`, () => work(access)) as Promise<T>;
  }

  async #with(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest): Promise<unknown> {
    try {
      const database = await this.#open();
      try {
        const transaction = database.transaction(STORE, mode, { durability: "strict" });
        const done = new Promise<void>((resolve, reject) => {
          transaction.oncomplete = () => resolve();
          transaction.onabort = () => reject(transaction.error);
        });
        const request = use(transaction.objectStore(STORE));
        await done;
        return request.result;
      } finally {
        database.close();
      }
    } catch (cause) {
      throw new ProfileError("profile_unavailable", cause);
    }
  }

  #open(): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open("pinseal", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
}
