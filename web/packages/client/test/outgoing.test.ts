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
  LEDGER_MAX,
  type Learnt,
  learn,
  learnLate,
  type Next,
  OUTGOING_MAX,
  type Outgoing,
  type OutgoingState,
  ofAccount,
  paysNobody,
  type Status,
  stopped,
  type Unsent,
  unseen,
} from "../src/outgoing.js";
import { vectors } from "./vectors.js";

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

/** A nonce, and whether it was asked for. */
interface Numbered {
  nonce: number;
  replaces: boolean;
}

interface ApprovalCase {
  name: string;
  content: string;
  steps: Record<string, unknown>[];
  shown: Numbered;
  then: Record<string, unknown>[];
  next: Numbered;
  unseen: string[];
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

function entry(hash: string, nonce: number, content: string, at: keyof typeof PLACES = "here"): Unsent {
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

function keeping(entries: readonly Outgoing[], kept: Unsent, accepted?: Standings): readonly Outgoing[] {
  return keep(entries, kept, OWN, acceptedOf(accepted)) ?? assert.fail("no room");
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
  assert.ok(file.cases.length >= 292);
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

test("what its owner has to be shown before it is signed is what the vectors say", () => {
  const file = vectors<{ cases: ApprovalCase[] }>("client/approval.json");
  only(file, "cases");
  assert.ok(file.cases.length >= 35);
  for (const { name, content, steps, shown, then, next: last, unseen: wanted, ...more } of file.cases) {
    only(more);
    for (const one of [shown, last]) only(one, "nonce", "replaces");
    const before = steps.reduce(after, []);
    const now = then.reduce(after, before);
    const approved = judge(before, next(shown.nonce, content, shown.replaces));
    const meant = next(last.nonce, content, last.replaces);
    const found = unseen(approved, judge(now, meant), meant);
    assert.deepEqual([...names(found)].sort(), [...wanted].sort(), name);
  }
});

test("what pays nobody is 0 to the very account, without call data", () => {
  const of = (change: object, from = FROM) => {
    const to = Uint8Array.from(Buffer.from(FROM.slice(2), "hex"));
    const nothing = { ...parseUnsigned(entry("own", 5, "nothing").unsigned), to, ...change };
    return paysNobody({ from, unsigned: encodeUnsigned(nothing) });
  };
  assert.ok(of({}));
  assert.ok(!of({}, SECOND));
  for (const change of [{ to: undefined }, { to: new Uint8Array(20) }, { value: 1n }, { input: Uint8Array.of(0) }]) {
    assert.ok(!of(change), Object.keys(change).join());
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

/** As many of the wallet's that wait for an answer as are kept. */
function full(at: keyof typeof PLACES = "here", max = OUTGOING_MAX): readonly Outgoing[] {
  let all: readonly Outgoing[] = [];
  for (let nonce = 0; nonce < max; nonce += 1) all = keeping(all, entry(String(nonce), nonce, "one", at));
  return all;
}

/** 0 to oneself. */
function nothing(hash: string, nonce: number): Unsent {
  const made = entry(hash, nonce, "nothing");
  const to = Uint8Array.from(Buffer.from(FROM.slice(2), "hex"));
  return { ...made, unsigned: encodeUnsigned({ ...parseUnsigned(made.unsigned), to }) };
}

test("room is made by what is settled and by nothing else", () => {
  let all = full();
  const more = entry("more", 999, "one");
  assert.equal(keep(all, more, OWN), undefined);
  assert.equal(keep(all, entry("3", 3, "one"), OWN)?.length, OUTGOING_MAX);
  // Mined by the host's word alone, while its owner may believe that it failed.
  all = learn(all, "5", "heard", "mined");
  assert.equal(keep(all, more, OWN), undefined);
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
    all = keeping(all, entry(`more ${number}`, 1_000 + number, "one"));
    assert.ok(!names(all).includes(gone));
  }
  assert.equal(keep(all, entry("once", 1_004, "one"), OWN), undefined);
  assert.equal(all.length, OUTGOING_MAX);
});

test("room is made by what is accepted, as it stands, and not by what has the same nonce", () => {
  let all = learn(full(), "5", "heard", "mined");
  const more = (nonce: number, accepted: Standings) =>
    keep(all, entry("more", nonce, "one"), OWN, acceptedOf(accepted));
  assert.equal(more(999, { 3: "waiting", 5: "reverted" }), undefined);
  const unsent = more(999, { 3: "unsent" });
  assert.ok(unsent?.length === OUTGOING_MAX && !names(unsent).includes("3"));
  const mined = more(999, { 5: "final" });
  assert.ok(mined?.length === OUTGOING_MAX && !names(mined).includes("5"));
  // What waits is forgotten alone, and before what is settled.
  all = learn(learn(all, "5", "followed", "mined"), "3", "heard", "pending");
  const waiting = more(999, { 3: "waiting" });
  assert.ok(waiting?.length === OUTGOING_MAX && !names(waiting).includes("3") && names(waiting).includes("5"));
});

test("what takes the place of one, or pays nobody, has sixteen places more, and makes no room of its own nonce", () => {
  let all = full();
  for (let more = 0; more < 16; more += 1) {
    const ways = [entry(`again ${more}`, more, "two"), nothing(`nothing ${more}`, 1_000 + more)];
    all = keeping(all, ways[more % 2] ?? assert.fail());
  }
  assert.equal(all.length, OUTGOING_MAX + 16);
  for (const one of [entry("replaces", 30, "two"), nothing("nothing", 2_000), entry("new", 2_000, "two")]) {
    assert.equal(keep(all, one, OWN), undefined, one.hash);
  }
  assert.equal(keep(full(), { ...nothing("not its own", 2_000), from: SECOND }, OWN), undefined);
  const settled = learn(full(), "9", "answered", "final");
  assert.equal(keep(settled, entry("under it", 9, "two"), OWN)?.length, OUTGOING_MAX + 1);
});

test("nobody takes another person's places, until the whole profile is full", () => {
  const theirs = full("stranger", LEDGER_MAX / 4);
  let all = keeping(theirs, entry("own", 5, "one"));
  assert.equal(all.length, OUTGOING_MAX + 1);
  const settled = learn(learn(theirs, "7", "answered", "final"), "8", "answered", "pending");
  for (let nonce = 0; nonce < OUTGOING_MAX; nonce += 1)
    all = keeping(nonce === 0 ? settled : all, entry(`own ${nonce}`, nonce, "one"));
  // Theirs that are settled make no room where this wallet's own places are gone.
  assert.equal(keep(all, entry("more", 999, "one"), OWN), undefined);
  const row = (from: string, nonce: number): Outgoing => ({
    ...entry(`${from} ${nonce}`, nonce, "one"),
    from,
    state: "unsent",
    known: "doubtful",
  });
  const many = Array.from({ length: LEDGER_MAX }, (_, at) => row(`person ${at % 4}`, at));
  assert.equal(keep(many, entry("more", 999, "one"), OWN), undefined);
  const left = keep(learn(many, "person 1 5", "answered", "final"), entry("more", 999, "one"), OWN);
  assert.ok(left?.length === LEDGER_MAX && !names(left).includes("person 1 5"));
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
