/** What was signed before, and what it means for the next transaction. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeUnsigned } from "../src/evm/transaction.js";
import {
  doesTheSame,
  doubt,
  forget,
  judge,
  keep,
  type Learnt,
  learn,
  type Next,
  OUTGOING_MAX,
  type Outgoing,
  ofAccount,
  type Status,
} from "../src/outgoing.js";
import { vectors } from "./vectors.js";

type Told = Record<string, Status>;

interface Step extends Partial<Record<Learnt, Told>> {
  signed?: { hash: string; nonce: number; content: string };
  omitted?: string;
  told?: string;
  forgotten?: string;
}

interface Case {
  name: string;
  steps: Step[];
  next: { nonce: number; content: string; replaces: boolean };
  stops: string[];
  beside: string[];
  instead: string[];
  refused: boolean;
}

const NETWORK = "eip155:31337";
const FROM = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const CONTENTS: Readonly<Record<string, bigint>> = { one: 1n, two: 2n, three: 3n };

function entry(hash: string, nonce: number, content: string): Omit<Outgoing, "state" | "isInDoubt"> {
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
  return { network: NETWORK, from: FROM, nonce: BigInt(nonce), hash, unsigned, signedAt: 1 };
}

const next = (nonce: number, content = "one", replaces = false): Next => ({ ...entry("", nonce, content), replaces });

function keeping(entries: readonly Outgoing[], kept: Omit<Outgoing, "state" | "isInDoubt">): readonly Outgoing[] {
  return keep(entries, kept) ?? assert.fail("no room");
}

function after(entries: readonly Outgoing[], { signed, omitted, told, forgotten, ...learnt }: Step) {
  let now = signed === undefined ? entries : keeping(entries, entry(signed.hash, signed.nonce, signed.content));
  for (const [how, statuses] of Object.entries(learnt) as [Learnt, Told][]) {
    assert.ok(["answered", "followed", "shown", "heard"].includes(how), how);
    for (const [hash, status] of Object.entries(statuses)) now = learn(now, hash, how, status);
  }
  now = doubt(
    now,
    [omitted, told].filter((hash) => hash !== undefined),
  );
  return forgotten === undefined ? now : forget(now, [forgotten]);
}

const names = (of: readonly Outgoing[] | undefined) => (of ?? []).map(({ hash }) => hash);

test("what was signed before is judged as the vectors say", () => {
  const { cases } = vectors<{ cases: Case[] }>("client/outgoing.json");
  assert.ok(cases.length >= 100);
  // Neither another account's nor another network's are any business of this one.
  const theirs = { ...entry("theirs", 5, "one"), from: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC" };
  const there = { ...entry("there", 5, "one"), network: "eip155:1" };
  const others = keeping(keeping([], theirs), there);
  for (const { name, steps, next: wanted, ...expected } of cases) {
    const verdict = judge(steps.reduce(after, others), next(wanted.nonce, wanted.content, wanted.replaces));
    const { stops, beside, instead, isNonceRefused: refused } = verdict;
    const found = { stops: names(stops), beside: names(beside), instead: names(instead), refused };
    assert.deepEqual(found, expected, name);
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
  assert.ok(doesTheSame(base, of({ nonce: 2n, gasLimit: 50_000n, kind: { type: "legacy", gasPrice: 9n } })));
  assert.ok(doesTheSame(of({ to: undefined }), of({ to: undefined, nonce: 2n })));
  for (const other of [{ to: new Uint8Array(20) }, { to: undefined }, { value: 2n }, { input: Uint8Array.of(2) }]) {
    assert.ok(!doesTheSame(base, of(other)) && !doesTheSame(of(other), base), JSON.stringify(Object.keys(other)));
  }
});

test("those of an account are found in any spelling of its address, and no others", () => {
  const all = [entry("own", 5, "one"), { ...entry("there", 5, "one"), network: "eip155:1" }].reduce(keeping, []);
  assert.deepEqual(names(ofAccount(all, { network: NETWORK, from: FROM.toLowerCase() })), ["own"]);
  assert.deepEqual(names(ofAccount(all, { network: NETWORK, from: `0x${"00".repeat(20)}` })), []);
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

test("a nonce is forgotten as a whole and only its own, and not what its owner does not know of", () => {
  const theirs = { ...entry("theirs", 5, "one"), from: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC" };
  let all = [theirs, entry("replaced", 5, "one"), entry("replacement", 5, "two")].reduce(keeping, []);
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
