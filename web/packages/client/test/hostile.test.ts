/** A host that lies: it reads and changes whatever travels in clear, and goes back to an older state. */

import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { System, withoutPrograms } from "@pinseal/testing";
import {
  type Attested,
  type Client,
  MemoryStore,
  NewPin,
  Pin,
  type PinsealError,
  personalMessage,
  ReplyLostError,
  WrongPinError,
} from "../src/index.js";
import { Between, clientOf, type Json, problem, signUp } from "./device.js";

const EMAIL = "grace@example.org";
const PASSWORD = "correct horse 2";

const pin = () => Pin.parse("482915");
const wrong = () => Pin.parse("135790");
const message = [personalMessage(0, "hello")];

let up: System;
let between: Between;
let client: Client;
let attested: Attested;

const code = (wanted: string) => (error: unknown) => (error as PinsealError).code === wanted;

/** The last byte of a member in hex, changed. */
function changed(json: Json, member: string): Json {
  const text = String(json[member]);
  return { ...json, [member]: text.slice(0, -2) + (text.endsWith("00") ? "01" : "00") };
}

/** Lies about one path, and is honest about the rest. */
function lie(path: string, answer: (forward: () => Promise<Json>) => Promise<Json>): void {
  between.onRequest = (asked, forward) => (asked === path ? answer(forward) : forward());
}

/** As {@link lie}, the first time only. */
function lieOnce(path: string, answer: (forward: () => Promise<Json>) => Promise<Json>): void {
  lie(path, (forward) => {
    between.onRequest = (_, next) => next();
    return answer(forward);
  });
}

async function triesLeft(): Promise<number> {
  return (await attested.status()).tries.left;
}

function sent(path: string): number {
  return between.forwarded.filter((forwarded) => forwarded === path).length;
}

test("a host that lies", { skip: withoutPrograms }, async (t) => {
  before(async () => {
    up = await System.start();
    between = new Between();
    client = clientOf(up, { environment: between.environment });
    await signUp(up, client, EMAIL, PASSWORD);
    attested = await client.attest();
    await attested.register(NewPin.choose(pin()), "device");
  });
  beforeEach(() => {
    between.onRequest = (_, forward) => forward();
    between.forwarded.length = 0;
  });
  after(async () => {
    await up?.stop();
  });

  await t.test("evidence that is forged, about other keys, or of yesterday is refused", async () => {
    lie("/v1/evidence", async (forward) => changed(await forward(), "document"));
    await assert.rejects(client.attest(), code("signature_wrong"));
    lie("/v1/evidence", async (forward) => changed(await forward(), "manifest"));
    await assert.rejects(client.attest(), code("user_data_wrong"));
    let earlier: Json | undefined;
    lie("/v1/evidence", async (forward) => {
      earlier ??= await forward();
      return earlier;
    });
    await client.attest();
    await assert.rejects(client.attest(), code("nonce_wrong"));
  });

  await t.test("a begin reply that is changed computes no PIN factor", async () => {
    lie("/v1/wallet/begin", async (forward) => changed(await forward(), "begin"));
    await assert.rejects(attested.verifyPin(pin()), code("begin_signature"));
    assert.equal(sent("/v1/wallet/sealed"), 0);
  });

  await t.test("an address that is swapped is not shown", async () => {
    await attested.listAccounts([0, 1]);
    const honest = await client.accounts();
    assert.equal(honest.length, 2);
    lie("/v1/accounts", async (forward) => {
      const { items } = (await forward()) as { items: Json[] };
      return { items: items.map((item) => changed(item, "statement")) };
    });
    await assert.rejects(client.accounts(), code("account_forged"));
    // A statement that is genuine, and says something else than what was seen before.
    const store = new MemoryStore();
    await store.exclusive(async ({ save }) => {
      const profile = await client.profile();
      const wallets = [...profile.wallets].map(([user, { wallet }]) => {
        const addresses = new Map([["m/44'/60'/0'/0/0", honest[1]?.address ?? ""]]);
        return [user, { wallet, addresses }] as const;
      });
      await save({ ...profile, wallets: new Map(wallets) });
    });
    await assert.rejects(clientOf(up, { store }).accounts(), code("account_changed"));
    // A genuine statement that this device has not seen may be of a seed that a restore has lost: the enclave says what holds.
    await store.exclusive(async ({ save }) => {
      const profile = await client.profile();
      const wallets = [...profile.wallets].map(
        ([user, { wallet }]) => [user, { wallet, addresses: new Map() }] as const,
      );
      await save({ ...profile, wallets: new Map(wallets) });
    });
    between.onRequest = (_, forward) => forward();
    const unseen = clientOf(up, { store, environment: between.environment });
    assert.deepEqual(await unseen.accounts(), []);
    assert.deepEqual(await (await unseen.attest()).accounts(), honest);
    assert.deepEqual(await unseen.accounts(), honest);
  });

  await t.test("when the nonce is taken, nothing but it differs from what was approved", async () => {
    const network = "eip155:31337";
    const fee = { max_fee_per_gas: "10", max_priority_fee_per_gas: "1" };
    const honest = { network, nonce: 4, gas_limit: 21_000, fees: { normal: fee, base_fee: "5" } };
    lie("/v1/tx/prepare", async () => honest);
    const to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    const approved = await client.proposeTransaction({ network, account: 0, to, value: 5n });
    assert.deepEqual([approved.transaction.nonce, approved.reservationId], [4n, undefined]);

    const dear = { max_fee_per_gas: "1000000", max_priority_fee_per_gas: "1000000" };
    const now = { ...honest, nonce: 7, gas_limit: 90_000, fees: { normal: dear, base_fee: "5" }, balance: "0" };
    lie("/v1/tx/prepare", async () => ({ ...now, reservation_id: "r", expires_at: 9 }));
    const taken = await client.takeNonce(approved);
    assert.deepEqual({ ...taken.transaction, nonce: 4n }, approved.transaction);
    assert.deepEqual([taken.transaction.nonce, taken.reservationId, taken.expiresAt], [7n, "r", 9]);
    assert.equal(taken.view.fields.find(({ label }) => label === "Nonce")?.value, "7");

    const named = { ...approved, request: { ...approved.request, nextNonce: 4 } };
    await assert.rejects(client.takeNonce(named), code("nonce_taken"));
    lie("/v1/tx/prepare", async () => ({ ...now, network: "eip155:1", reservation_id: "r" }));
    await assert.rejects(client.takeNonce(approved), code("transaction_unreasonable"));
    assert.equal(sent("/v1/tx/release"), 2, "what is not used is given back");
    // What takes the place of another transaction has that one's nonce.
    const instead = { ...approved, request: { ...approved.request, nonce: 4 } };
    assert.deepEqual(await client.takeNonce(instead), instead);
  });

  await t.test("a sealed reply that is changed, or that answers another request, is no verdict", async () => {
    let earlier: Json | undefined;
    lie("/v1/wallet/sealed", async (forward) => {
      earlier = await forward();
      return changed(earlier, "reply");
    });
    await assert.rejects(attested.verifyPin(pin()), code("envelope_crypto"));
    lie("/v1/wallet/sealed", async () => earlier ?? {});
    await assert.rejects(attested.verifyPin(pin()), code("envelope_other_request"));
  });

  await t.test("a reply that is lost comes again, and the try is counted once", async () => {
    assert.equal(await triesLeft(), 5);
    between.forwarded.length = 0;
    lieOnce("/v1/wallet/sealed", async (forward) => {
      await forward();
      throw new TypeError("the connection was cut");
    });
    await assert.rejects(attested.verifyPin(wrong()), WrongPinError);
    assert.equal(sent("/v1/wallet/sealed"), 2);
    assert.equal(await triesLeft(), 4);
  });

  await t.test("replies that never come are an unknown outcome after four sends", async () => {
    await attested.verifyPin(pin());
    between.forwarded.length = 0;
    lie("/v1/wallet/sealed", async (forward) => {
      await forward();
      throw new TypeError("the connection was cut");
    });
    await assert.rejects(attested.verifyPin(wrong()), ReplyLostError);
    assert.equal(sent("/v1/wallet/sealed"), 4);
    between.onRequest = (_, forward) => forward();
    assert.equal(await triesLeft(), 4);
  });

  await t.test(
    "a verdict that is hidden behind a restart is an unknown outcome, and the PIN is not sealed again",
    async () => {
      await attested.verifyPin(pin());
      between.forwarded.length = 0;
      lie("/v1/wallet/sealed", async (forward) => {
        await forward();
        return problem(409, "evidence_outdated", true);
      });
      await assert.rejects(attested.verifyPin(wrong()), ReplyLostError);
      assert.equal(sent("/v1/wallet/sealed"), 1);
      between.onRequest = (_, forward) => forward();
      assert.equal(await triesLeft(), 4);
    },
  );

  await t.test(
    "a second signature needs no begin; refused in clear, it is charged once whatever the host did",
    async () => {
      await attested.sign(pin(), message);
      between.forwarded.length = 0;
      await attested.sign(pin(), message);
      assert.equal(sent("/v1/wallet/begin"), 0);
      // Refused and not handed on: under a fresh challenge of the same version it is signed.
      lieOnce("/v1/wallet/sealed", async () => problem(403, "storage_token_refused"));
      await attested.sign(pin(), message);
      assert.equal(sent("/v1/wallet/begin"), 1);
      // Refused though it was decided: the version has moved on, so the PIN is not sealed again.
      between.forwarded.length = 0;
      lieOnce("/v1/wallet/sealed", async (forward) => {
        await forward();
        return problem(403, "storage_token_refused");
      });
      await assert.rejects(attested.sign(wrong(), message), ReplyLostError);
      assert.equal(sent("/v1/wallet/sealed"), 1);
      assert.equal(await triesLeft(), 4);
    },
  );

  await t.test("answers that are no answers end in errors that say so", async () => {
    lie("/v1/wallet/sealed", async () => ({ reply: "zz" }));
    // What came of it is not known.
    await assert.rejects(attested.status(), code("reply_lost"));
    lie("/v1/wallet/sealed", async () => ({ reply: "80" }));
    await assert.rejects(attested.status(), code("reply_malformed"));
    lie("/v1/wallet/begin", async () => ({ begin: "80", storage_token: "x" }));
    await assert.rejects(attested.status(), code("reply_malformed"));
    const named = { name: "N", symbol: "N", decimals: 18 };
    const networks = [
      "",
      "eip155",
      "eip155:",
      "eip155:x",
      "eip155:0",
      "eip155:01",
      "eip155:0x1",
      `eip155:${2n ** 64n}`,
    ];
    for (const told of [{}, ...networks.map((caip2) => ({ caip2 }))]) {
      lie("/v1/networks", async () => ({ items: [{ ...named, ...told }] }));
      await assert.rejects(client.networks.list(), code("answer_malformed"), JSON.stringify(told));
    }
    const known = [`eip155:${2n ** 64n - 1n}`, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"].map((caip2) => ({
      ...named,
      caip2,
    }));
    lie("/v1/networks", async () => ({ items: known }));
    assert.equal((await client.networks.list()).length, known.length);
    lie("/v1/evidence", async () => ({ document: "00".repeat(600_000), manifest: "" }));
    await assert.rejects(client.attest(), code("answer_too_long"));
  });

  await t.test("a state put back gets no PIN before operators and owner agree, another deployment none", async () => {
    const data = join(up.directory, "pinseal-data");
    const older = join(up.directory, "older");
    const store = new MemoryStore();
    const device = clientOf(up, { store });
    await device.login.logIn(EMAIL, PASSWORD);
    await (await device.attest()).enrolDevice(pin(), "witness");
    await up.halt();
    cpSync(data, older, { recursive: true });
    up = await System.start({ directory: up.directory });
    const honest = await clientOf(up, { store }).attest();
    await honest.verifyPin(pin());
    await honest.verifyPin(pin());
    await up.halt();
    rmSync(data, { recursive: true });
    cpSync(older, data, { recursive: true });
    up = await System.start({ directory: up.directory });
    await assert.rejects(clientOf(up, { store }).attest(), code("receipt_rolled_back"));
    // The operators stand by it: told, accepted, and the wallet is as it was then.
    await up.halt();
    up.command("restore", "--yes", "--data", "pinseal-data");
    up = await System.start({ directory: up.directory });
    const restored = await clientOf(up, { store }).attest();
    assert.equal(restored.restored, 1);
    await assert.rejects(restored.sign(pin(), message), code("receipt_restored"));
    assert.equal((await restored.acceptRestore()).kind, "device");
    assert.equal((await restored.sign(pin(), message)).length, 1);
    assert.equal((await clientOf(up, { store }).attest()).restored, undefined);
    const other = await System.start();
    try {
      await assert.rejects(clientOf(other, { store }).attest(), code("deployment_changed"));
    } finally {
      await other.stop();
    }
  });
});
