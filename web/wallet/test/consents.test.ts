/** Consents lie in a storage that may fail: taking one back never leaves it in force unsaid, and one that cannot be kept takes no other away. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { type Consent, dropConsent, keepConsent, onConsents, readConsents, STORAGE_KEY } from "../src/consents.js";
import { browser } from "./stage.js";

const consent = (app: string): Consent => ({ user: "u", app, origin: "https://shop.example", name: app, since: 1 });
const [one, two, three] = [consent("one"), consent("two"), consent("three")];

class FakeStorage {
  readonly values = new Map<string, string>();
  /** Characters that there is room for. */
  room = Number.POSITIVE_INFINITY;
  isClosed = false;

  getItem(key: string): string | null {
    return this.values.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    const others = [...this.values.values()].join("").length;
    if (this.isClosed || others + value.length > this.room) throw new Error("quota");
    this.values.set(key, value);
  }

  removeItem(key: string): void {
    if (this.isClosed) throw new Error("closed");
    this.values.delete(key);
  }

  get stored(): string {
    return this.values.get(STORAGE_KEY) ?? "[]";
  }
}

let storage: FakeStorage;
beforeEach(() => {
  storage = new FakeStorage();
  browser(storage as unknown as Storage);
  keepConsent(one);
  keepConsent(two);
});

test("a consent that cannot be kept is none, and the others stand", () => {
  storage.room = 0;
  assert.deepEqual(keepConsent(three), [one, two]);
  assert.deepEqual(readConsents(), [one, two]);
});

test("a consent that is taken back is gone from a full storage, and the others stay", () => {
  storage.room = storage.stored.length;
  assert.deepEqual(dropConsent(one), { consents: [two], isGone: true });
  assert.equal(storage.stored, JSON.stringify([two]));
});

test("where storage takes nothing any more every app asks anew, and in this page the others hold", () => {
  storage.room = 0;
  assert.deepEqual(dropConsent(one), { consents: [two], isGone: true });
  assert.equal(storage.stored, "[]");
  assert.deepEqual(readConsents(), [two]);
  storage.room = Number.POSITIVE_INFINITY;
  assert.deepEqual(keepConsent(three), [two, three]);
  assert.equal(storage.stored, JSON.stringify([two, three]));
});

test("where not even that can be done it is said, and the consent holds in this page no more", () => {
  storage.isClosed = true;
  assert.deepEqual(dropConsent(one), { consents: [two], isGone: false });
  assert.deepEqual(readConsents(), [two]);
  assert.equal(storage.stored, JSON.stringify([one, two]));
  storage.isClosed = false;
  assert.deepEqual(keepConsent(three), [two, three]);
});

test("what another tab has taken back, or all of it, is not there again, and nor is what was taken back here", () => {
  const listeners: ((event: { key: string | null }) => void)[] = [];
  Object.assign(globalThis, { addEventListener: (_: string, hear: never) => void listeners.push(hear) });
  const heard: Consent[][] = [];
  onConsents((consents) => void heard.push(consents));
  /** What is heard once storage was changed elsewhere. */
  const tell = (key: string | null) => {
    for (const listener of listeners) listener({ key });
    return heard.at(-1);
  };
  keepConsent(three);
  storage.isClosed = true;
  assert.deepEqual(dropConsent(one), { consents: [two, three], isGone: false });
  storage.isClosed = false;
  assert.deepEqual([tell("another"), readConsents()], [undefined, [two, three]]);
  storage.values.set(STORAGE_KEY, JSON.stringify([one, three]));
  assert.deepEqual([tell(STORAGE_KEY), readConsents()], [[three], [three]]);
  assert.deepEqual(keepConsent(two), [three, two]);
  assert.equal(storage.stored, JSON.stringify([three, two]));
  // It may be let in anew.
  assert.deepEqual(keepConsent(one), [three, two, one]);
  storage.isClosed = true;
  assert.deepEqual(dropConsent(one).consents, [three, two]);
  storage.isClosed = false;
  storage.values.clear();
  assert.deepEqual([tell(null), keepConsent(one)], [[], [one]]);
});
