/** The client against the real system: the main job, wrong PINs, a second device, and a host that lies. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { System, withoutPrograms } from "@pinseal/testing";
import { recoverMessageAddress, recoverTransactionAddress, recoverTypedDataAddress } from "viem";
import {
  type Attested,
  type Client,
  FaultError,
  LockedError,
  NewPin,
  Pin,
  parseAddress,
  personalMessage,
  RefusedError,
  SendError,
  type Signed,
  toHex,
  transaction,
  typedData,
  WrongPinError,
} from "../src/index.js";
import { clientOf, signUp } from "./device.js";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse 1";
const PIN = "482915";
const NEW_PIN = "739164";

let up: System;
let ada: Client;
let attested: Attested;

const pin = (digits = PIN) => Pin.parse(digits);
const prefixed = (bytes: Uint8Array): `0x${string}` => `0x${toHex(bytes)}`;

function signatureOf(signed: Signed | undefined): `0x${string}` {
  assert.ok(signed?.kind === "evmSignature");
  return prefixed(signed.signature);
}

test("the real system", { skip: withoutPrograms }, async (t) => {
  before(async () => {
    up = await System.start({ node: true });
    ada = clientOf(up);
  });
  after(async () => {
    await up?.stop();
  });

  await t.test("sign-up, evidence and a PIN make a wallet, whose address the enclave vouches for", async () => {
    await signUp(up, ada, EMAIL, PASSWORD);
    attested = await ada.attest();
    assert.equal(attested.isFirstUse, true);
    assert.match(attested.verified.statement, /proves nothing about hardware/);
    assert.equal((await ada.attest()).isFirstUse, false);
    const { account, tries } = await attested.register(NewPin.choose(pin()), "test device");
    assert.equal(account.index, 0);
    assert.equal(tries.left, 5);
    assert.deepEqual(await ada.accounts(), [account]);
    assert.deepEqual(await ada.account(0), account);
    assert.equal((await ada.login.me()).login_status, "complete");
  });

  await t.test("a message, typed data and a transaction are signed by that address, on one PIN", async () => {
    const { address } = await ada.account(0);
    const types = {
      EIP712Domain: [{ name: "chainId", type: "uint256" }],
      Note: [{ name: "text", type: "string" }],
    } as const;
    const data = { types, primaryType: "Note", domain: { chainId: 31337n }, message: { text: "Grüße" } } as const;
    const to = parseAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    assert.ok(typeof to !== "string");
    const payment = transaction(0, {
      chain: 31337n,
      nonce: 0n,
      gasLimit: 21_000n,
      to,
      value: 1n,
      input: new Uint8Array(0),
      kind: { type: "dynamicFee", maxFeePerGas: 2n, maxPriorityFeePerGas: 1n, accessList: [] },
    });
    const intents = [
      personalMessage(0, "hello"),
      typedData(0, 31337n, JSON.stringify({ ...data, domain: { chainId: 31337 } })),
      payment,
    ];
    const [message, typed, paid] = await attested.sign(pin(), intents);
    assert.equal(await recoverMessageAddress({ message: "hello", signature: signatureOf(message) }), address);
    assert.equal(await recoverTypedDataAddress({ ...data, signature: signatureOf(typed) }), address);
    assert.ok(paid?.kind === "evmTransaction");
    const serializedTransaction = prefixed(paid.raw) as `0x02${string}`;
    assert.equal(await recoverTransactionAddress({ serializedTransaction }), address);
  });

  await t.test("a payment is prepared, shown, signed, sent and mined, and the balance says so", async () => {
    const network = "eip155:31337";
    const to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    const { address } = await ada.account(0);
    await up.node("anvil_setBalance", [address, `0x${(10n ** 18n).toString(16)}`]);
    const request = { network, account: 0, to, value: 250_000_000_000_000_000n };
    await assert.rejects(
      ada.prepareTransaction({ ...request, feeMax: 1n }),
      (error) => error instanceof SendError && error.code === "fee_too_high",
    );
    const proposed = await ada.proposeTransaction(request);
    assert.equal(proposed.view.title, "Send 0.25 ETH");
    assert.deepEqual(proposed.view.warnings, []);
    // Another one is held meanwhile, and given back: this one takes the lowest again.
    const other = await ada.prepareTransaction(request);
    assert.deepEqual([proposed.transaction.nonce, other.transaction.nonce], [0n, 0n]);
    assert.equal((await ada.proposeTransaction(request)).transaction.nonce, 1n);
    (await ada.networks.releaseOnLeave(other.reservationId ?? ""))();
    // Nobody waits for the answer to that; a few looks are as long as it takes.
    let next = 1n;
    for (let looks = 0; next !== 0n && looks < 200; looks += 1) {
      next = (await ada.proposeTransaction(request)).transaction.nonce;
    }
    const prepared = await ada.takeNonce(proposed);
    assert.equal(prepared.transaction.nonce, 0n);
    const [signed] = await attested.sign(pin(), [prepared.intent]);
    assert.ok(signed?.kind === "evmTransaction");
    const sent = await ada.networks.broadcast(network, signed);
    // Twice is once.
    assert.equal((await ada.networks.broadcast(network, signed)).hash, sent.hash);
    assert.match((await ada.networks.settled(network, sent.hash)).status, /^(mined|final)$/);
    const [kept, ...others] = await ada.outgoing();
    assert.match(`${kept?.hash} ${kept?.state} ${others.length}`, new RegExp(`^${sent.hash} (mined|final) 0$`));
    const { native } = await ada.networks.balances(network, address);
    assert.ok(native.amount < 750_000_000_000_000_000n && native.amount > 740_000_000_000_000_000n);
    assert.deepEqual(
      (await ada.networks.transactions(network, address)).items.map(({ hash }) => hash),
      [sent.hash],
    );
    const known = await ada.networks.list();
    assert.ok(known.some(({ caip2 }) => caip2 === network));
  });

  await t.test("a further account signs, though this device had not seen it", async () => {
    const [signed] = await attested.sign(pin(), [personalMessage(7, "from the eighth")]);
    const { address } = await ada.account(7);
    assert.notEqual(address, (await ada.account(0)).address);
    assert.equal(await recoverMessageAddress({ message: "from the eighth", signature: signatureOf(signed) }), address);
  });

  await t.test("a wrong PIN says so and counts; a right one gives the tries back", async () => {
    const wrong = (left: number) => (error: unknown) => error instanceof WrongPinError && error.tries.left === left;
    await assert.rejects(attested.verifyPin(pin("135790")), wrong(4));
    await assert.rejects(attested.sign(pin("135790"), [personalMessage(0, "no")]), wrong(3));
    // The reply to a wrong PIN left a challenge, which the right one uses.
    await attested.sign(pin(), [personalMessage(0, "yes")]);
    assert.equal((await attested.status()).tries.left, 5);
  });

  await t.test("a new PIN takes the place of the old one", async () => {
    await attested.changePin(pin(), NewPin.choose(pin(NEW_PIN)));
    await assert.rejects(attested.verifyPin(pin()), WrongPinError);
    assert.equal((await attested.verifyPin(pin(NEW_PIN))).left, 5);
  });

  await t.test("a second device enrols with the PIN, finds the same accounts, and is revoked", async () => {
    const second = clientOf(up);
    assert.equal(await second.login.logIn(EMAIL, PASSWORD), "complete");
    const there = await second.attest();
    await assert.rejects(
      there.verifyPin(pin(NEW_PIN)),
      (error) => error instanceof RefusedError && error.code === "device_not_enrolled",
    );
    await there.enrolDevice(pin(NEW_PIN), "second device");
    await there.verifyPin(pin(NEW_PIN));
    assert.deepEqual(await there.listAccounts([0]), [await ada.account(0)]);
    const { status } = await attested.status();
    assert.deepEqual(status.devices.map(({ label }) => label).sort(), ["second device", "test device"]);
    await attested.revokeDevice(pin(NEW_PIN), await second.deviceId());
    await assert.rejects(
      there.verifyPin(pin(NEW_PIN)),
      (error) => error instanceof RefusedError && error.code === "device_not_enrolled",
    );
    await assert.rejects(
      attested.revokeDevice(pin(NEW_PIN), await ada.deviceId()),
      (error) => error instanceof RefusedError && error.code === "last_device",
    );
  });

  await t.test("what is out of bounds is refused before a PIN is spent", async () => {
    await assert.rejects(attested.sign(pin(NEW_PIN), []), FaultError);
    await assert.rejects(attested.listAccounts([1000]), FaultError);
    await assert.rejects(
      attested.enrolDevice(pin(NEW_PIN), "a label that is longer than thirty-two bytes"),
      FaultError,
    );
    assert.equal((await attested.status()).tries.left, 5);
  });

  await t.test("wrong PINs lock the device with a delay, and nothing says wrong PIN then", async () => {
    const unenrolled = clientOf(up);
    await unenrolled.login.logIn(EMAIL, PASSWORD);
    const there = await unenrolled.attest();
    const codes: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      codes.push(
        await there.enrolDevice(pin("135790"), "thief").then(
          () => "ok",
          (error) => error.code,
        ),
      );
    }
    assert.deepEqual(codes, ["wrong_pin", "wrong_pin", "wrong_pin", "pin_delayed"]);
    // The owner's own device is not held up by the thief's.
    assert.equal((await attested.verifyPin(pin(NEW_PIN))).delaySeconds, 0);
    await attested.clearTries(pin(NEW_PIN));
    await assert.rejects(
      there.enrolDevice(pin("135790"), "thief"),
      (error) => error instanceof WrongPinError && error.tries.left === 4,
    );
    assert.ok(LockedError.prototype instanceof RefusedError);
  });

  await t.test("the example of the README runs as it stands", async () => {
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    const example = /```js\n(.*?)```/s.exec(readme)?.[1];
    assert.ok(example);
    // Inside the package its own name is found.
    const file = new URL("../readme-example.mjs", import.meta.url);
    writeFileSync(file, example);
    const { server, app_id, app_key } = up.ready;
    const env = { ...process.env, PINSEAL_SERVER: server, PINSEAL_APP_ID: app_id, PINSEAL_APP_KEY: app_key };
    const child = spawn(process.execPath, [file.pathname], { env, stdio: ["pipe", "pipe", "inherit"] });
    let said = "";
    for await (const chunk of child.stdout) {
      const asked = `${chunk}`;
      said += asked;
      if (asked.endsWith("Code in the mail: ")) child.stdin.write(`${await up.mailedCode("alan@example.org")}\n`);
      if (asked.endsWith("PIN: ")) child.stdin.write("482915\n");
    }
    const address = /^address (0x\w{40})$/m.exec(said)?.[1];
    const signature = /signature (0x\w{130})$/m.exec(said)?.[1] as `0x${string}`;
    assert.ok(address && signature, said);
    assert.equal(await recoverMessageAddress({ message: "hello", signature }), address);
  });

  await t.test("the end of a session says so, and nothing more is done in its name", async () => {
    const [session] = await ada.login.sessions();
    assert.ok(session);
    await ada.login.logOut();
    await assert.rejects(ada.login.me(), (error: { code?: string }) => error.code === "not_logged_in");
  });
});
