/** What a client makes of every kind of reply, against an enclave that says what the test wants. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../src/bytes.js";
import { encode } from "../src/cbor/codec.js";
import {
  type Attested,
  DelayedError,
  LockedError,
  MemoryStore,
  NewPin,
  Pin,
  type PinsealError,
  type Profile,
  personalMessage,
  RefusedError,
  ServiceFaultError,
  WrongPinError,
} from "../src/index.js";
import { Operation } from "../src/operation/run.js";
import type { BeginReply } from "../src/protocol/begin.js";
import { manifest, manifestHash } from "../src/protocol/manifest.js";
import type { Outcome } from "../src/protocol/reply.js";
import { readReceipt } from "../src/receipt.js";
import { type Answer, FakeEnclave, makeRoot, NOW } from "./enclave.js";
import { hex, vectors } from "./vectors.js";

const pin = () => Pin.parse("482915");
const code = (wanted: string) => (error: unknown) => (error as PinsealError).code === wanted;
const refused = (value: (Outcome & { kind: "refused" })["value"]): Answer => ({ outcome: { kind: "refused", value } });

async function attested(): Promise<{ enclave: FakeEnclave; store: MemoryStore; there: Attested }> {
  const enclave = await FakeEnclave.boot(await makeRoot());
  const store = new MemoryStore();
  const there = await (await enclave.client(store)).attest();
  return { enclave, store, there };
}

async function heldSize(store: MemoryStore): Promise<bigint | undefined> {
  return (await store.exclusive(({ load }) => load()))?.receipt?.size;
}

test("a verdict on an older or another state is none, right or wrong, and replaces no receipt", async () => {
  const { enclave, store, there } = await attested();
  enclave.size = 20n;
  await there.verifyPin(pin());
  assert.equal(await heldSize(store), 20n);
  const other = await makeRoot(2);
  const receipts = [
    ["receipt_rolled_back", await enclave.note(19n)],
    ["receipt_forked", await enclave.note(20n, 1)],
    ["receipt_invalid", await enclave.note(21n, 0, other.log)],
    ["receipt_invalid", new Uint8Array(3)],
  ] as const;
  for (const [wanted, receipt] of receipts) {
    for (const outcome of [
      { kind: "pinVerified" },
      { kind: "wrongPin" },
      { kind: "refused", value: "pin_locked" },
    ] as const) {
      enclave.answers.push(() => ({ receipt, outcome }));
      await assert.rejects(there.verifyPin(pin()), code(wanted), `${wanted} ${outcome.kind}`);
      assert.equal(await heldSize(store), 20n);
    }
  }
  enclave.answers.push(async () => ({ receipt: await enclave.note(21n), outcome: { kind: "wrongPin" } }));
  await assert.rejects(there.verifyPin(pin()), WrongPinError);
  assert.equal(await heldSize(store), 21n);
});

test("a refusal never replaces the receipt held, since it may come before the two were compared", async () => {
  const { enclave, store, there } = await attested();
  enclave.answers.push(async () => ({ receipt: await enclave.note(50n, 1), ...refused("wallet_busy") }));
  await assert.rejects(there.verifyPin(pin()), code("wallet_busy"));
  assert.equal(await heldSize(store), 10n);
});

/** Two branches of one state of 100 entries, which is held in `store`, and a client at each. */
async function forks() {
  const { enclave, store } = await attested();
  enclave.size = 100n;
  await (await (await enclave.client(store)).attest()).verifyPin(pin());
  const at = async (size: bigint, branch: number) => {
    const fork = await FakeEnclave.boot(enclave.root);
    fork.size = size;
    fork.manifestOf = (honest) => ({ ...honest, configuration: new Uint8Array(32).fill(branch) });
    const client = await fork.client(store);
    return { fork, client, there: await client.attest() };
  };
  return { store, a: await at(105n, 1), b: await at(499n, 2) };
}

async function heldNote(store: MemoryStore): Promise<string> {
  return toHex((await store.exclusive(({ load }) => load()))?.receipt?.note ?? new Uint8Array(0));
}

test("a reply that was held back replaces no receipt that it was not compared with", async () => {
  const { store, a, b } = await forks();
  const held = await heldNote(store);
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const presented = new Promise<string>((resolve) => {
    b.fork.answers.push(async ({ receipt }) => {
      resolve(toHex(receipt ?? new Uint8Array(0)));
      await released;
      return { receipt: await b.fork.note(500n, 2) };
    });
  });
  const late = b.there.verifyPin(pin());
  assert.equal(await presented, held);
  const shown = await a.fork.note(106n, 1);
  a.fork.answers.push(() => ({ receipt: shown }));
  await a.there.verifyPin(pin());
  assert.equal(await heldNote(store), toHex(shown));
  release();
  await late;
  assert.equal(await heldNote(store), toHex(shown), "it is of another branch");

  // So the enclave of that branch is shown it, and convicts itself.
  b.fork.answers.push(({ receipt }) => {
    assert.deepEqual(receipt, shown);
    return refused("state_rolled_back");
  });
  await assert.rejects(b.there.verifyPin(pin()), code("state_rolled_back"));
  // Replies of one boot are of one history, in whatever order they come.
  const newer = await a.fork.note(120n, 1);
  a.fork.answers.push(async () => {
    const between = await a.fork.note(110n, 1);
    a.fork.answers.push(() => ({ receipt: between }));
    await (await a.client.attest()).verifyPin(pin());
    assert.equal(await heldNote(store), toHex(between));
    return { receipt: newer };
  });
  await a.there.verifyPin(pin());
  assert.equal(await heldNote(store), toHex(newer));
});

test("opening a history compares what its writes were proved in, and not the receipt held", async () => {
  const { store, a, b } = await forks();
  const shown = await a.fork.note(106n, 1);
  a.fork.answers.push(() => ({ receipt: shown }));
  await a.there.verifyPin(pin());
  const hash = await manifestHash(encode(manifest, b.there.manifest));
  const deployment = { deployment: b.fork.root.deployment, log: b.fork.root.log.public };
  const seen = await readReceipt(await b.fork.note(499n, 2), hash, deployment);
  const boot = { manifest: b.there.manifest, hash, deployment, restores: 0 };
  const open = () => new Operation(b.client, boot, { kind: "open_history", writes: [], seen }, "ada@example.org").run();
  b.fork.answers.push(async ({ receipt }) => {
    assert.deepEqual(receipt, seen.note);
    return { receipt: await b.fork.note(500n, 2) };
  });
  await open();
  assert.equal(await heldNote(store), toHex(shown));
  b.fork.answers.push(async () => ({ receipt: await b.fork.note(498n, 2) }));
  await assert.rejects(open(), code("receipt_rolled_back"), "older than what was presented");
});

test("wrong PIN, locks, delay, refusal and service fault are different things", async () => {
  const { enclave, there } = await attested();
  const tries = { left: 0, lifeLeft: 70, delaySeconds: 60 };
  const cases: [Answer, string, new (...args: never[]) => Error][] = [
    [{ outcome: { kind: "wrongPin" } }, "wrong_pin", WrongPinError],
    [{ outcome: { kind: "serviceFault" } }, "service_fault", ServiceFaultError],
    [refused("pin_locked"), "pin_locked", LockedError],
    [refused("wallet_locked"), "wallet_locked", LockedError],
    [refused("pin_spent"), "pin_spent", LockedError],
    [refused("pin_delayed"), "pin_delayed", DelayedError],
    [refused("device_not_enrolled"), "device_not_enrolled", RefusedError],
    [refused("enrolment_paused"), "enrolment_paused", RefusedError],
  ];
  for (const [answer, wanted, kind] of cases) {
    enclave.answers.push(() => ({ tries, ...answer }));
    await assert.rejects(there.verifyPin(pin()), (error: PinsealError & { tries?: unknown }) => {
      assert.ok(error instanceof kind, wanted);
      assert.equal(error.code, wanted);
      if ("tries" in error) assert.deepEqual(error.tries, tries);
      return true;
    });
  }
  enclave.answers.push(() => refused("enrolment_paused"));
  await assert.rejects(there.enrolDevice(pin(), "phone"), /operators have to resume/);
  enclave.answers.push(() => refused("request_malformed"));
  await assert.rejects(there.verifyPin(pin()), code("client_outdated"));
  enclave.answers.push(() => refused("state_rolled_back"));
  await assert.rejects(there.verifyPin(pin()), code("state_rolled_back"));
  enclave.answers.push(() => refused("evidence_outdated"));
  await assert.rejects(there.verifyPin(pin()), (error: PinsealError) => error.wantsNewEvidence && error.isRetryable);
});

test("an expired token and a stale challenge are cured once, a second one is told", async () => {
  const { enclave, there } = await attested();
  enclave.answers.push(() => refused("token_expired"));
  await there.verifyPin(pin());
  assert.deepEqual(enclave.seen, [
    "begin verify_pin",
    "sealed verify_pin",
    "refresh",
    "begin verify_pin",
    "sealed verify_pin",
  ]);
  for (const refusal of ["challenge_invalid", "token_expired"] as const) {
    enclave.seen.length = 0;
    enclave.answers.push(
      () => refused(refusal),
      () => refused(refusal),
    );
    await assert.rejects(there.verifyPin(pin()), code(refusal));
    assert.equal(enclave.seen.filter((seen) => seen.startsWith("sealed")).length, 2);
  }
  enclave.seen.length = 0;
  enclave.answers.push(() => refused("already_answered"));
  await assert.rejects(there.verifyPin(pin()), code("already_answered"));
  assert.equal(enclave.seen.filter((seen) => seen.startsWith("sealed")).length, 1);
});

test("an outcome of another operation is not taken for success", async () => {
  const { enclave, there } = await attested();
  enclave.answers.push(() => ({ outcome: { kind: "pinChanged" } }));
  await assert.rejects(there.verifyPin(pin()), code("unexpected"));
  await assert.rejects(there.status(), code("unexpected"));
  await assert.rejects(there.sign(pin(), [personalMessage(0, "x")]), code("unexpected"));
  await assert.rejects(there.clearTries(pin()), code("unexpected"));
});

test("addresses count by the log key's statement, for this wallet, as asked, and as seen before", async () => {
  const { enclave, there } = await attested();
  const [one, two] = [new Uint8Array(20).fill(1), new Uint8Array(20).fill(2)];
  const list = async (...statements: Awaited<ReturnType<typeof enclave.statement>>[]) => {
    enclave.answers.push(() => ({ outcome: { kind: "accounts", value: statements } }));
    return there.listAccounts([0]);
  };
  const other = await makeRoot(2);
  await assert.rejects(list(await enclave.statement(0, one, { log: other.log })), code("account_forged"));
  await assert.rejects(list(await enclave.statement(0, one, { wallet: new Uint8Array(32) })), code("account_forged"));
  await assert.rejects(list(await enclave.statement(1, one)), code("account_other"));
  await assert.rejects(list(await enclave.statement(0, one, { network: "solana" })), code("account_other"));
  await assert.rejects(list(await enclave.statement(0, new Uint8Array(21))), code("account_other"));
  await assert.rejects(list(), code("account_other"));
  const both = [await enclave.statement(0, one), await enclave.statement(1, two)] as const;
  await assert.rejects(list(...both), code("account_other"));
  const [account] = await list(await enclave.statement(0, one));
  assert.equal(account?.address, `0x${"01".repeat(20)}`);
  await assert.rejects(list(await enclave.statement(0, two)), code("account_changed"));
});

interface Message {
  signer: string;
  message: string;
  signature: string;
}

test("a signature is handed out only if it is the account's, over what was approved", async () => {
  const { enclave, there } = await attested();
  const [first, second] = vectors<{ cases: Message[] }>("evm/personal-messages.json").cases;
  assert.ok(first && second);
  const list = async () => {
    const statement = await enclave.statement(0, hex(first.signer));
    enclave.answers.push(() => ({ outcome: { kind: "accounts", value: [statement] } }));
  };
  await list();
  const sign = (...signatures: string[]) => {
    const value = signatures.map((text) => ({ kind: "evmSignature" as const, signature: hex(text) }));
    enclave.answers.push(() => ({ outcome: { kind: "signed", value } }));
    return there.sign(pin(), [personalMessage(0, hex(first.message))]);
  };
  assert.equal((await sign(first.signature)).length, 1);
  await assert.rejects(sign(second.signature), code("result_other_signer"));
  await assert.rejects(sign(first.signature, first.signature), code("result_mismatch"));
  await assert.rejects(sign(), code("result_mismatch"));
});

test("a begin reply that asks for little work, or is for another boot, device, operation or wallet, computes no factor", async () => {
  const { enclave, there } = await attested();
  const cheap = { salt: new Uint8Array(16), argon2: { memoryKib: 1024, passes: 2, lanes: 1 } };
  const cases: [string, Partial<BeginReply>][] = [
    ["begin_parameters", { current: cheap }],
    ["begin_parameters", { pending: cheap }],
    ["begin_parameters", { next: cheap }],
    ["begin_other_boot", { manifest: new Uint8Array(32) }],
    ["begin_other_request", { device: new Uint8Array(32) }],
    ["begin_other_request", { method: "status" }],
    ["nothing_pending", { pending: undefined }],
  ];
  for (const [wanted, change] of cases) {
    enclave.beginOf = (honest) => ({ ...honest, ...change });
    await assert.rejects(there.changePinConfirm(pin()), code(wanted), wanted);
  }
  enclave.beginOf = (honest) => honest;
  await there.verifyPin(pin());
  enclave.beginOf = (honest) => ({ ...honest, wallet: new Uint8Array(32) });
  await assert.rejects(there.verifyPin(pin()), code("wallet_changed"));
  assert.deepEqual(
    enclave.seen.filter((seen) => seen.startsWith("sealed")),
    ["sealed verify_pin"],
  );
});

test("what a signature left is used once, by the same user, in time, and above the floor", async () => {
  let now = NOW;
  const enclave = await FakeEnclave.boot(await makeRoot());
  const client = await enclave.client(new MemoryStore(), undefined, { now: () => now });
  const there = await client.attest();
  const statement = await enclave.statement(0, new Uint8Array(20).fill(1));
  enclave.answers.push(() => ({ outcome: { kind: "accounts", value: [statement] } }));
  await there.listAccounts([0]);
  // A wrong PIN leaves a challenge just as a right one does.
  const sign = async (parameters?: Parameters<typeof enclave.next>[0]) => {
    enclave.seen.length = 0;
    enclave.answers.push(() => ({ outcome: { kind: "wrongPin" }, next: enclave.next(parameters) }));
    await assert.rejects(there.sign(pin(), [personalMessage(0, "x")]), WrongPinError);
    return enclave.seen.join(", ");
  };
  const [begun, kept] = ["begin sign, sealed sign", "sealed sign"];
  assert.equal(await sign(), begun);
  assert.equal(await sign(), kept);
  now += 239;
  assert.equal(await sign(), kept);
  now += 240;
  assert.equal(await sign({ salt: new Uint8Array(16), argon2: { memoryKib: 1024, passes: 1, lanes: 1 } }), begun);
  assert.equal(await sign(), begun);
  // Somebody else logs in, whose wallet is the same one.
  await client.vault.update((profile) => {
    const user = "other@example.org";
    const [pinned] = profile.wallets.values();
    assert.ok(profile.session && pinned);
    return { ...profile, session: { ...profile.session, user }, wallets: new Map(profile.wallets).set(user, pinned) };
  });
  assert.equal(await sign(), begun);
});

test("a manifest of another version, level, deployment or age is refused, and pins nothing", async () => {
  const root = await makeRoot();
  const witness = (name: string, key: number) => ({ name, key: new Uint8Array(32).fill(key) });
  const quorum = (required: number, ...witnesses: ReturnType<typeof witness>[]) => ({
    anchor: "L4" as const,
    witnesses: { required, witnesses },
  });
  const tpm = (first: number, index: number) => ({ attester: new Uint8Array(65).fill(first), index });
  const cases: [string, object][] = [
    ["protocol_version", { version: 2 }],
    ["anchor_too_low", { anchor: "L0", floor: "L1" }],
    ["witnesses_invalid", { anchor: "L4" }],
    ["witnesses_invalid", { witnesses: { required: 1, witnesses: [witness("w/1", 1)] } }],
    ["witnesses_invalid", quorum(1, witness("w/1", 1), witness("w/2", 2))],
    ["witnesses_invalid", quorum(2, witness("w/2", 1), witness("w/1", 2))],
    ["witnesses_invalid", quorum(2, witness("w/1", 1), witness("w/2", 1))],
    ["witnesses_invalid", quorum(1)],
    ["tpm_invalid", { anchor: "L2" }],
    ["tpm_invalid", { tpm: tpm(4, 0x0180_0000) }],
    ["tpm_invalid", { anchor: "L2", tpm: tpm(2, 0x0180_0000) }],
    ["tpm_invalid", { anchor: "L2", tpm: tpm(4, 0x017f_ffff) }],
    ["tpm_invalid", { anchor: "L2", tpm: tpm(4, 0x01c0_0000) }],
    ["receipt_invalid", { log: new Uint8Array(32).fill(9) }],
    ["receipt_invalid", { checkpoint: new Uint8Array(9) }],
  ];
  for (const [wanted, change] of cases) {
    const enclave = await FakeEnclave.boot(root);
    enclave.manifestOf = (honest) => ({ ...honest, ...change });
    const store = new MemoryStore();
    await assert.rejects((await enclave.client(store)).attest(), code(wanted), JSON.stringify(change));
    const profile = await store.exclusive(({ load }) => load());
    assert.deepEqual([profile?.deployment, profile?.receipt], [undefined, undefined]);
  }
  const good = await FakeEnclave.boot(root);
  good.manifestOf = (honest) => ({ ...honest, ...quorum(2, witness("w/1", 1), witness("w/2", 2)) });
  assert.equal((await (await good.client()).attest()).manifest.anchor, "L4");
});

test("an operation is theirs who began it: nobody's PIN is sealed for somebody who has logged in meanwhile", async () => {
  const changed = code("user_changed");
  let onBegin = async () => {};
  const enclave = await FakeEnclave.boot(await makeRoot());
  const store = new MemoryStore();
  const fetch = async (url: string, init: RequestInit) => {
    const answer = await enclave.fetch(url, init);
    if (url.endsWith("/begin")) await onBegin();
    return answer;
  };
  const client = await enclave.client(store, "ada@example.org", { fetch });
  const logIn = async (user: string) => {
    await client.vault.update((profile) => ({ ...profile, session: profile.session && { ...profile.session, user } }));
  };
  const there = await client.attest();
  const seen = async (work: () => Promise<unknown>) => {
    await logIn("ada@example.org");
    enclave.seen.length = 0;
    await assert.rejects(work(), changed);
    return enclave.seen.join(", ");
  };

  onBegin = () => logIn("bob@example.org");
  assert.equal(await seen(() => there.verifyPin(pin())), "begin verify_pin");
  onBegin = async () => {};
  // A token that has expired is renewed for the one and not for the other.
  enclave.answers.push(async () => {
    await logIn("bob@example.org");
    return refused("token_expired");
  });
  assert.equal(await seen(() => there.verifyPin(pin())), "begin verify_pin, sealed verify_pin");
  // Two steps are one piece of work.
  enclave.answers.push(async () => {
    await logIn("bob@example.org");
    return { outcome: { kind: "prepared" } };
  });
  const steps = () => there.changePin(pin(), NewPin.choose(Pin.parse("739164")));
  assert.equal(await seen(steps), "begin change_pin_prepare, sealed change_pin_prepare");
  // Of a user who is named, whoever is logged in when it begins.
  const hers = await client.attest("ada@example.org");
  const begun = () => logIn("bob@example.org").then(() => hers.verifyPin(pin()));
  assert.equal(await seen(begun), "");
  await logIn("ada@example.org");
  await hers.verifyPin(pin());
});

test("a person is told until they acknowledge that the operators changed what protects a PIN, and a floor never goes down", async () => {
  const root = await makeRoot();
  const store = new MemoryStore();
  let size = 10n;
  const boot = async (change: object) => {
    const enclave = await FakeEnclave.boot(root);
    size += 1n;
    enclave.size = size;
    enclave.manifestOf = (honest) => ({ ...honest, ...change });
    return (await enclave.client(store)).attest();
  };
  assert.equal((await boot({ floor: "L1" })).protectionBefore, undefined);
  assert.equal((await boot({ floor: "L1" })).protectionBefore, undefined);
  const configuration = new Uint8Array(32).fill(9);
  const witnesses = { required: 1, witnesses: [{ name: "w/1", key: new Uint8Array(32).fill(1) }] };
  const changed = { floor: "L1", anchor: "L4", configuration, witnesses };
  assert.deepEqual((await boot(changed)).protectionBefore, {
    configuration: "00".repeat(32),
    anchor: "L1",
    floor: "L1",
    required: 0,
    witnesses: [],
  });
  const told = await boot(changed);
  assert.equal(told.protectionBefore?.anchor, "L1", "nobody has acknowledged it yet");
  await told.acknowledgeProtection();
  assert.equal((await boot(changed)).protectionBefore, undefined);
  await assert.rejects(boot({ ...changed, floor: "L0" }), code("floor_lowered"));
  const kept = await store.exclusive(({ load }) => load());
  assert.match(kept?.protection?.witnesses[0] ?? "", /^w\/1\+[0-9a-f]{8}\+/);
  // Whether or not anybody was told.
  await boot({ ...changed, floor: "L4" });
  await assert.rejects(boot(changed), code("floor_lowered"));
  assert.equal((await store.exclusive(({ load }) => load()))?.protection?.floor, "L1");
});

test("a dialog that was left open does not undo what was seen elsewhere meanwhile", async () => {
  const root = await makeRoot();
  const store = new MemoryStore();
  let size = 10n;
  const boot = async (configuration: number) => {
    const enclave = await FakeEnclave.boot(root);
    size += 1n;
    enclave.size = size;
    enclave.manifestOf = (honest) => ({ ...honest, configuration: new Uint8Array(32).fill(configuration) });
    return (await enclave.client(store)).attest();
  };
  await boot(0);
  const [left, seen] = [await boot(1), await boot(2)];
  await seen.acknowledgeProtection();
  await left.acknowledgeProtection();
  assert.equal((await boot(2)).protectionBefore, undefined);
  assert.equal((await boot(1)).protectionBefore?.configuration, "02".repeat(32));
});

test("a profile from before floors were kept has that of what somebody was told", async () => {
  const root = await makeRoot();
  const store = new MemoryStore();
  let size = 10n;
  const boot = async (floor: "L0" | "L1") => {
    const enclave = await FakeEnclave.boot(root);
    size += 1n;
    enclave.size = size;
    enclave.manifestOf = (honest) => ({ ...honest, floor });
    return (await enclave.client(store)).attest();
  };
  await boot("L1");
  await store.exclusive(async ({ load, save }) => {
    const { floor, ...old } = (await load()) ?? assert.fail();
    assert.equal(floor, "L1");
    await save(old as Profile);
  });
  await assert.rejects(boot("L0"), code("floor_lowered"));
});

test("a floor that a page from before floors were kept acknowledged holds above a lower one that is kept", async () => {
  const root = await makeRoot();
  const store = new MemoryStore();
  let size = 10n;
  const witnesses = { required: 1, witnesses: [{ name: "w/1", key: new Uint8Array(32).fill(1) }] };
  const boot = async (floor: "L1" | "L4") => {
    const enclave = await FakeEnclave.boot(root);
    size += 1n;
    enclave.size = size;
    enclave.manifestOf = (honest) => ({ ...honest, floor, anchor: "L4", witnesses });
    return (await enclave.client(store)).attest();
  };
  const acknowledged = (floor: "L1" | "L4") =>
    store.exclusive(async ({ load, save }) => {
      const kept = await load();
      assert.ok(kept?.protection);
      await save({ ...kept, protection: { ...kept.protection, floor } } as Profile);
    });
  await boot("L1");
  await acknowledged("L4");
  await assert.rejects(boot("L1"), code("floor_lowered"));
  await boot("L4");
  // And the other way round.
  await acknowledged("L1");
  await assert.rejects(boot("L1"), code("floor_lowered"));
});

test("another deployment, another log key and a boot that shows no more than was seen are refused", async () => {
  const { enclave, store } = await attested();
  const boot = async (root = enclave.root, size = 11n) => {
    const next = await FakeEnclave.boot(root);
    next.size = size;
    return (await next.client(store)).attest();
  };
  await assert.rejects(boot(enclave.root, 10n), code("receipt_rolled_back"));
  await boot(enclave.root, 11n);
  await assert.rejects(boot(await makeRoot(2)), code("deployment_changed"));
  const { log } = await makeRoot(2);
  await assert.rejects(boot({ deployment: enclave.root.deployment, log }), code("log_key_changed"));
  assert.equal(
    toHex((await store.exclusive(({ load }) => load()))?.deployment?.log ?? new Uint8Array(0)),
    toHex(enclave.root.log.public),
  );
});
