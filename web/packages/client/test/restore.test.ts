/** What a client makes of a state that the operators put back. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Attested, MemoryStore, Pin, type PinsealError, personalMessage, RefusedError } from "../src/index.js";
import type { Profile } from "../src/profile/profile.js";
import { checkBoot, checkContinues, keepReceipt, keepRestored, readReceipt, restoresOf } from "../src/receipt.js";
import { type Answer, FakeEnclave, makeRoot } from "./enclave.js";

const pin = () => Pin.parse("482915");
const code = (wanted: string) => (error: unknown) => (error as PinsealError).code === wanted;

async function held(store: MemoryStore): Promise<{ restores: number; size: bigint } | undefined> {
  const receipt = (await store.exclusive(({ load }) => load()))?.receipt;
  return receipt && { restores: restoresOf(receipt), size: receipt.size };
}

/** A client that has seen 10 entries, and the boot of a restore of a state of 5. */
async function restored(restores = 1): Promise<{ enclave: FakeEnclave; store: MemoryStore; there: Attested }> {
  const store = new MemoryStore();
  const before = await FakeEnclave.boot(await makeRoot());
  await (await (await before.client(store)).attest()).verifyPin(pin());
  const enclave = await FakeEnclave.boot(before.root);
  [enclave.size, enclave.restores] = [5n, restores];
  return { enclave, store, there: await (await enclave.client(store)).attest() };
}

const accepted = (): Answer => ({ outcome: { kind: "restoreAccepted" } });
const refused = (value: RefusedError["refusal"]) => (): Answer => ({ outcome: { kind: "refused", value } });

test("receipts are ordered by restore and then by size", async () => {
  const enclave = await FakeEnclave.boot(await makeRoot());
  const deployment = { deployment: enclave.root.deployment, log: enclave.root.log.public };
  const receipt = async (restores: number, size: bigint, branch = 0) =>
    readReceipt(
      await enclave.note(size, branch, enclave.root.log, restores),
      new Uint8Array(32).fill(branch),
      deployment,
    );
  const profile = (receipt: Profile["receipt"]) => ({ receipt }) as Profile;
  const [before, after] = [await receipt(0, 9n), await receipt(2, 5n, 1)];
  assert.equal(checkBoot(undefined, after), undefined);
  assert.equal(checkBoot(before, after), 2);
  assert.equal(checkBoot(after, after), undefined);
  assert.throws(() => checkContinues(before, after), code("receipt_restored"));
  checkContinues(before, after, true);
  assert.throws(() => checkBoot(after, before), code("receipt_restore_forgotten"));
  assert.throws(() => checkContinues(after, before), code("receipt_restore_forgotten"));
  assert.throws(() => checkContinues(after, before, true), code("receipt_restore_forgotten"));
  assert.equal(keepReceipt(profile(before), after, before).receipt, after);
  assert.equal(keepReceipt(profile(after), before, after).receipt, after);
  assert.equal(keepRestored(profile(before), after).receipt, after);
  // As long, and of another restore: no fork.
  const other = await receipt(3, 5n, 2);
  assert.equal(keepReceipt(profile(after), other, after).receipt, other);
  const fork = { ...after, root: new Uint8Array(32) };
  assert.throws(() => keepReceipt(profile(after), fork, after), code("receipt_forked"));
  assert.throws(() => keepReceipt(profile(after), fork, before), code("receipt_forked"));
  // Only the acceptance of this very restore forgets what nobody has compared with it.
  assert.equal(keepReceipt(profile(before), after, undefined).receipt, before);
  assert.equal(keepRestored(profile(after), { ...other, note: after.note }).receipt, after);
});

test("a restore is told, and no PIN becomes a factor before it is accepted", async () => {
  const { enclave, store, there } = await restored(2);
  assert.equal(there.restored, 2);
  assert.deepEqual(await held(store), { restores: 0, size: 10n });
  const store2 = new MemoryStore();
  assert.equal((await (await enclave.client(store2)).attest()).restored, undefined, "nothing was seen before");
  let factors = 0;
  const client = await enclave.client(store);
  const argon2 = async () => {
    factors += 1;
  };
  Object.assign(client, { argon2 });
  const again = await client.attest();
  const operations = [
    () => again.verifyPin(pin()),
    () => again.sign(pin(), [personalMessage(0, "x")]),
    () => again.clearTries(pin()),
    () => again.status(),
    () => again.listAccounts([0]),
  ];
  for (const operation of operations) await assert.rejects(operation(), code("receipt_restored"));
  assert.equal(factors, 0);
  assert.deepEqual(
    enclave.seen.filter((seen) => seen.startsWith("sealed")),
    [],
  );
});

test("an acceptance names the restore, replaces the receipt, and opens the way for a PIN", async () => {
  const { enclave, store, there } = await restored(3);
  enclave.answers.push((asked) => {
    assert.deepEqual(asked.request, { kind: "accept_restore", restores: 3 });
    return { ...accepted(), tries: { left: 1, lifeLeft: 90, delaySeconds: 0 } };
  });
  const acceptance = await there.acceptRestore();
  assert.deepEqual(acceptance, { kind: "device", tries: { left: 1, lifeLeft: 90, delaySeconds: 0 } });
  assert.deepEqual(await held(store), { restores: 3, size: 5n });
  await there.verifyPin(pin());
  assert.equal((await (await enclave.client(store)).attest()).restored, undefined);
});

test("a state from before an accepted restore is refused at boot and in replies", async () => {
  const { enclave, store, there } = await restored();
  enclave.answers.push(accepted);
  await there.acceptRestore();
  const old = await FakeEnclave.boot(enclave.root);
  old.size = 50n;
  await assert.rejects((await old.client(store)).attest(), code("receipt_restore_forgotten"));
  for (const outcome of [{ kind: "pinVerified" }, { kind: "refused", value: "wallet_busy" }] as const) {
    enclave.answers.push(async () => ({ receipt: await old.note(50n), outcome }));
    await assert.rejects(there.verifyPin(pin()), code("receipt_restore_forgotten"));
  }
  assert.deepEqual(await held(store), { restores: 1, size: 5n });
});

test("a reply of a later restore is no verdict, and a refusal in one is told as the refusal", async () => {
  const enclave = await FakeEnclave.boot(await makeRoot());
  const store = new MemoryStore();
  const there = await (await enclave.client(store)).attest();
  for (const kind of ["pinVerified", "wrongPin", "serviceFault"] as const) {
    enclave.answers.push(async () => ({ receipt: await enclave.note(5n, 0, enclave.root.log, 1), outcome: { kind } }));
    await assert.rejects(there.verifyPin(pin()), code("receipt_restored"), kind);
  }
  for (const value of ["state_restored", "restore_not_accepted", "restore_tried"] as const) {
    enclave.answers.push(async () => ({
      receipt: await enclave.note(5n, 0, enclave.root.log, 1),
      outcome: { kind: "refused", value },
    }));
    await assert.rejects(
      there.verifyPin(pin()),
      (error: RefusedError) => error instanceof RefusedError && error.refusal === value && !error.isRetryable,
    );
  }
  assert.deepEqual(await held(store), { restores: 0, size: 10n });
});

test("where the enclave knows no wallet for this device, it forgets what it had seen and says so", async () => {
  for (const value of ["wallet_missing", "device_not_enrolled"] as const) {
    const { enclave, store, there } = await restored();
    enclave.answers.push(refused(value));
    assert.deepEqual(await there.acceptRestore(), { kind: "here" });
    assert.deepEqual(await held(store), { restores: 1, size: 5n });
  }
  const { enclave, store, there } = await restored();
  enclave.answers.push(refused("restore_tried"));
  await assert.rejects(there.acceptRestore(), code("restore_tried"));
  assert.deepEqual(await held(store), { restores: 0, size: 10n });
});
