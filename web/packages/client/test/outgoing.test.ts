/** What was signed before, and what it means for the next transaction. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { TransactionInfo } from "../src/api/transactions.js";
import { encodeUnsigned, parseUnsigned } from "../src/evm/transaction.js";
import {
  type Accepted,
  awaited,
  doesTheSame,
  doubt,
  isOf,
  judge,
  keep,
  type Learnt,
  learn,
  learnLate,
  type Next,
  OUTGOING_MAX,
  type Outgoing,
  type OutgoingState,
  ofAccount,
  type Status,
  stopped,
} from "../src/outgoing.js";
import { vectors } from "./vectors.js";

type Unlearnt = Omit<Outgoing, "state" | "known">;
type Standings = Record<string, OutgoingState>;

interface Signed {
  hash: string;
  nonce: number;
  content: string;
  at?: "account" | "network" | "stranger";
  accepted?: Standings;
}

interface Case {
  name: string;
  steps: Record<string, unknown>[];
  next: { nonce: number; content: string; replaces: boolean; accepted?: Standings };
  stops: string[];
  beside: string[];
  instead: string[];
  again: string[];
  refused: boolean;
}

const NETWORK = "eip155:31337";
const FROM = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/** Another account of the same wallet, and one of another. */
const SECOND = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const STRANGER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
const OWN = [FROM, SECOND];
const PLACES = {
  here: {},
  account: { from: SECOND },
  network: { network: "eip155:1" },
  stranger: { from: STRANGER },
} as const;
const CONTENTS: Readonly<Record<string, bigint>> = { nothing: 0n, one: 1n, two: 2n, three: 3n };

function entry(hash: string, nonce: number, content: string, at: keyof typeof PLACES = "here"): Unlearnt {
  const unsigned = encodeUnsigned({
    chain: 31337n,
    nonce: BigInt(nonce),
    gasLimit: 21_000n,
    to: new Uint8Array(20).fill(7),
    value: CONTENTS[content] ?? assert.fail(content),
    input: new Uint8Array(),
    // Of no account for what it pays.
    kind: { type: "legacy", gasPrice: BigInt(hash.length + nonce) },
  });
  const place = PLACES[at] ?? assert.fail(at);
  return { network: NETWORK, from: FROM, nonce: BigInt(nonce), hash, unsigned, signedAt: 1, ...place };
}

const acceptedOf = (standings: Standings = {}): Accepted[] =>
  Object.entries(standings).map(([hash, state]) => ({ hash, state }));

const next = (nonce: number, content = "one", replaces = false, accepted?: Standings): Next => {
  return { ...entry("", nonce, content), replaces, own: OWN, accepted: acceptedOf(accepted) };
};

function keeping(entries: readonly Outgoing[], kept: Unlearnt, accepted?: Standings): readonly Outgoing[] {
  return keep(entries, kept, acceptedOf(accepted)) ?? assert.fail("no room");
}

/** Fails where there is a member that is not named. */
function only(json: object, ...members: string[]): void {
  for (const name of Object.keys(json)) assert.ok(members.includes(name), `what is ${name}?`);
}

/** What was said of each, as it is learnt: in time, or late. */
function said(how: Learnt, by = learn) {
  return (entries: readonly Outgoing[], told: unknown) =>
    Object.entries(told as Record<string, Status>).reduce(
      (kept, [hash, status]) => by(kept, hash, how, status),
      entries,
    );
}

/** The steps of the vectors. */
const STEPS: Readonly<Record<string, (entries: readonly Outgoing[], json: unknown) => readonly Outgoing[]>> = {
  signed: (entries, json) => {
    const { hash, nonce, content, at, accepted } = json as Signed;
    only(json as Signed, "hash", "nonce", "content", "at", "accepted");
    return keeping(entries, entry(hash, nonce, content, at), accepted);
  },
  answered: said("answered"),
  followed: said("followed"),
  shown: said("shown"),
  heard: said("heard"),
  followed_late: said("followed", learnLate),
  shown_late: said("shown", learnLate),
  awaited: (entries, hash) => awaited(entries, hash as string),
  omitted: (entries, hash) => doubt(entries, [hash as string]),
  told: (entries, told) =>
    stopped(
      entries,
      entries.filter(({ hash }) => hash === told),
    ),
  // Beside something that is forgotten again, under a nonce that no other has.
  accepted: (entries, json) =>
    keeping(entries, entry("beside", 999, "three"), json as Standings).filter(({ hash }) => hash !== "beside"),
};

function after(entries: readonly Outgoing[], step: Record<string, unknown>): readonly Outgoing[] {
  assert.equal(Object.keys(step).length, 1);
  const [[name, json] = assert.fail()] = Object.entries(step);
  return (STEPS[name] ?? assert.fail(`what is ${name}?`))(entries, json);
}

const NONE: readonly Outgoing[] = [];
const names = (of: readonly Outgoing[] | undefined) => (of ?? []).map(({ hash }) => hash);

test("what was signed before is judged as the vectors say", () => {
  const file = vectors<{ cases: Case[] }>("client/outgoing.json");
  only(file, "cases");
  assert.ok(file.cases.length >= 220);
  for (const { name, steps, next: signed, ...expected } of file.cases) {
    only(signed, "nonce", "content", "replaces", "accepted");
    const { nonce, content, replaces, accepted } = signed;
    const verdict = judge(steps.reduce(after, []), next(nonce, content, replaces, accepted));
    const { stops, beside, instead, again, isNonceRefused: refused } = verdict;
    const found = [stops, beside, instead, again].map(names);
    const wanted = [expected.stops, expected.beside, expected.instead, expected.again];
    only(expected, "stops", "beside", "instead", "again", "refused");
    assert.deepEqual([found, refused], [wanted, expected.refused], name);
  }
});

test("two do the same that have recipient, value and call data in common, whatever else differs", () => {
  const of = (change: object) =>
    encodeUnsigned({
      chain: 31337n,
      nonce: 1n,
      gasLimit: 90_000n,
      to: new Uint8Array(20).fill(7),
      value: 1n,
      input: Uint8Array.of(1),
      kind: { type: "legacy", gasPrice: 1n },
      ...change,
    });
  const base = of({});
  const same = (one: Uint8Array<ArrayBuffer>, other: Uint8Array<ArrayBuffer>) => doesTheSame(one, parseUnsigned(other));
  assert.ok(same(base, of({ nonce: 2n, gasLimit: 50_000n, kind: { type: "legacy", gasPrice: 9n } })));
  assert.ok(same(of({ to: undefined }), of({ to: undefined, nonce: 2n })));
  for (const other of [{ to: new Uint8Array(20) }, { to: undefined }, { value: 2n }, { input: Uint8Array.of(2) }]) {
    assert.ok(!same(base, of(other)) && !same(of(other), base), JSON.stringify(Object.keys(other)));
  }
});

test("those of an account are found in any spelling of its address, and no others", () => {
  const all = [entry("own", 5, "one"), entry("there", 5, "one", "network")].reduce(
    (kept, one) => keeping(kept, one),
    NONE,
  );
  assert.deepEqual(names(ofAccount(all, { network: NETWORK, from: FROM.toLowerCase() })), ["own"]);
  assert.deepEqual(names(ofAccount(all, { network: NETWORK, from: `0x${"00".repeat(20)}` })), []);
});

test("what a host says of one is about what was signed, with addresses in any spelling; or about something else", () => {
  const [kept] = keeping([], entry("own", 5, "one"));
  assert.ok(kept);
  const to = `0x${"07".repeat(20)}`;
  const row = {
    network: NETWORK,
    hash: "own",
    from: FROM,
    to,
    value: 1n,
    nonce: 5,
    status: "pending",
  } as TransactionInfo;
  for (const right of [
    {},
    { from: FROM.toLowerCase() },
    { to: `0x${to.slice(2).toUpperCase()}` },
    { status: "final" },
  ]) {
    assert.ok(isOf(kept, { ...row, ...right } as TransactionInfo), JSON.stringify(right));
  }
  const wrong = [
    { network: "eip155:1" },
    { from: SECOND },
    { to: SECOND },
    { to: undefined },
    { value: 2n },
    { nonce: 6 },
  ];
  for (const change of wrong) {
    assert.ok(!isOf(kept, { ...row, ...change } as TransactionInfo), Object.keys(change).join());
  }
  const makes = { ...kept, unsigned: encodeUnsigned({ ...parseUnsigned(kept.unsigned), to: undefined }) };
  assert.ok(isOf(makes, { ...row, to: undefined }) && !isOf(makes, row));
});

test("of the final nonces the last ones are kept, with all under them", () => {
  let all: readonly Outgoing[] = [];
  for (let nonce = 0; nonce < 17; nonce += 1) {
    all = keeping(keeping(all, entry(`${nonce}`, nonce, "one")), entry(`${nonce} again`, nonce, "one"));
    all = learn(all, `${nonce} again`, "answered", "final");
  }
  assert.equal(all.length, 32);
  assert.ok(all.every(({ nonce }) => nonce > 0n));
});

test("room is made by what is settled and by nothing else", () => {
  let all: readonly Outgoing[] = [];
  for (let nonce = 0; nonce < OUTGOING_MAX; nonce += 1) all = keeping(all, entry(String(nonce), nonce, "one"));
  const more = entry("more", 999, "one");
  assert.equal(keep(all, more), undefined);
  assert.equal(keep(all, entry("3", 3, "one"))?.length, OUTGOING_MAX);
  // Mined by the host's word alone, while its owner may believe that it failed.
  all = learn(all, "5", "heard", "mined");
  assert.equal(keep(all, more), undefined);
  for (const [number, status] of [
    ["7", "failed"],
    ["9", "mined"],
    ["11", "final"],
    ["13", "pending"],
  ] as const) {
    all = learn(all, number, "answered", status);
  }
  for (const [number, gone] of ["11", "9", "7"].entries()) {
    assert.ok(names(all).includes(gone));
    all = keeping(all, entry(`more ${number}`, 1_000, "one"));
    assert.ok(!names(all).includes(gone));
  }
  assert.equal(keep(all, entry("once", 1_001, "one")), undefined);
  assert.equal(all.length, OUTGOING_MAX);
});

test("room is made by what is accepted, as it stands, and not by what has the same nonce", () => {
  let all: readonly Outgoing[] = [];
  for (let nonce = 0; nonce < OUTGOING_MAX; nonce += 1) all = keeping(all, entry(String(nonce), nonce, "one"));
  all = learn(all, "5", "heard", "mined");
  const more = (nonce: number, accepted: Standings) => keep(all, entry("more", nonce, "one"), acceptedOf(accepted));
  assert.equal(more(999, { 3: "waiting", 5: "reverted" }), undefined);
  assert.equal(more(3, { 3: "unsent" }), undefined);
  const unsent = more(999, { 3: "unsent" });
  assert.ok(unsent?.length === OUTGOING_MAX && !names(unsent).includes("3"));
  const mined = more(999, { 5: "final" });
  assert.ok(mined?.length === OUTGOING_MAX && !names(mined).includes("5"));
});

test("a nonce is forgotten as a whole and only its own, and not what its owner does not know of", () => {
  const both = [entry("replaced", 5, "one"), entry("replacement", 5, "two")];
  let all = [entry("theirs", 5, "one", "account"), ...both].reduce((kept, one) => keeping(kept, one), NONE);
  all = learn(all, "replacement", "answered", "mined");
  for (let nonce = 100; nonce < 100 + OUTGOING_MAX - 2; nonce += 1) all = keeping(all, entry(`${nonce}`, nonce, "one"));
  assert.ok(!names(all).includes("replaced") && !names(all).includes("replacement") && names(all).includes("theirs"));
  for (let nonce = 100; nonce < 120; nonce += 1) all = learn(all, String(nonce), "answered", "final");
  const final = () => all.filter(({ state }) => state === "final").map(({ nonce }) => Number(nonce));
  const from104 = Array.from({ length: 16 }, (_, at) => at + 104);
  assert.deepEqual(final(), from104);
  for (let nonce = 120; nonce < 140; nonce += 1) all = learn(all, String(nonce), "heard", "final");
  assert.ok(Array.from({ length: 20 }, (_, at) => at + 120).every((nonce) => final().includes(nonce)));
  assert.equal(judge(all, next(1, "two")).stops.length, OUTGOING_MAX - 2 - 20);
});
