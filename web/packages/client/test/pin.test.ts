import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { Worker as NodeWorker } from "node:worker_threads";
import { toHex } from "../src/bytes.js";
import { type Argon2, argon2InThread, argon2InWorker, type WorkerLike } from "../src/pin/argon2.js";
import { NewPin, Pin, PinError } from "../src/pin/pin.js";
import { hex, vectors } from "./vectors.js";

interface Vector {
  pin: string;
  deployment: string;
  wallet: string;
  salt: string;
  memory_kib: number;
  passes: number;
  lanes: number;
  factor: string;
}
const { vectors: factors } = vectors<{ vectors: Vector[] }>("pin/factor.json");

function factor(vector: Vector, argon2 = argon2InThread, change: Partial<Vector> = {}) {
  const { memory_kib: memoryKib, passes, lanes, salt, deployment, wallet } = { ...vector, ...change };
  const parameters = { salt: hex(salt), argon2: { memoryKib, passes, lanes } };
  return Pin.parse(vector.pin).factor(argon2, parameters, hex(deployment), hex(wallet));
}

test("no salt is everybody's: another wallet, deployment or moment makes another factor of the same PIN", async () => {
  const [vector] = factors;
  assert.ok(vector);
  const other = (text: string) => (text.startsWith("0") ? "1" : "0") + text.slice(1);
  const found = await Promise.all([
    factor(vector),
    factor(vector, argon2InThread, { salt: other(vector.salt) }),
    factor(vector, argon2InThread, { wallet: other(vector.wallet) }),
    factor(vector, argon2InThread, { deployment: other(vector.deployment) }),
  ]);
  const each = found.map((octets) => octets && toHex(octets));
  assert.equal(each[0], vector.factor);
  assert.ok(!each.includes(undefined));
  assert.equal(new Set(each).size, 4);
});

/** The module of a browser's worker, in a thread of Node. */
function threadWorker(): WorkerLike {
  const worker = new NodeWorker(new URL("./worker-shim.js", import.meta.url));
  return {
    postMessage: (message) => worker.postMessage(message),
    addEventListener: (type, listener) => {
      worker.on(type, (data: unknown) => listener({ data }));
    },
    terminate: () => worker.terminate(),
  };
}

test("PIN factors are those of the reference implementation, in this thread and in a worker", async () => {
  assert.equal(factors.length, 3);
  for (const vector of factors) {
    const found = await factor(vector);
    assert.equal(found && toHex(found), vector.factor);
  }
  const [first] = factors;
  assert.ok(first);
  const found = await factor(first, argon2InWorker(threadWorker));
  assert.equal(found && toHex(found), first.factor);
});

test("no factor is computed below the floor or beyond the ceiling, or where a worker fails", async () => {
  const [vector] = factors;
  assert.ok(vector);
  for (const change of [
    { memory_kib: 19 * 1024 - 1 },
    { passes: 1 },
    { memory_kib: 1024 * 1024 + 1 },
    { passes: 17 },
    { lanes: 5 },
    { lanes: 0 },
  ]) {
    assert.equal(await factor(vector, argon2InThread, change), undefined, JSON.stringify(change));
  }
  const broken: WorkerLike = {
    postMessage: () => undefined,
    addEventListener: (type, listener) => {
      if (type === "error") queueMicrotask(() => listener({}));
    },
    terminate: () => undefined,
  };
  assert.equal(
    await factor(
      vector,
      argon2InWorker(() => broken),
    ),
    undefined,
  );
});

test("digits that were handed over are zeroed", async () => {
  const typed = new TextEncoder().encode("482915");
  const pin = Pin.parse(typed);
  assert.deepEqual(typed, new Uint8Array(6));
  let seen: Uint8Array | undefined;
  const [vector] = factors;
  assert.ok(vector);
  const parameters = { salt: hex(vector.salt), argon2: { memoryKib: 19456, passes: 2, lanes: 1 } };
  const look: Argon2 = async ({ digits }) => {
    seen = digits;
    return undefined;
  };
  await pin.factor(look, parameters, hex(vector.deployment), hex(vector.wallet));
  assert.deepEqual(seen, new Uint8Array(6));
  const job = { digits: new Uint8Array(6).fill(0x31), salt: new Uint8Array(32), parameters: parameters.argon2 };
  const silent: WorkerLike = {
    postMessage: () => undefined,
    addEventListener: () => undefined,
    terminate: () => undefined,
  };
  void argon2InWorker(() => silent)(job);
  assert.deepEqual(job.digits, new Uint8Array(6));
  pin.erase();
  await assert.rejects(pin.factor(argon2InThread, parameters, hex(vector.deployment), hex(vector.wallet)), PinError);
});

test("a PIN is six to eight ASCII digits, and easy ones cannot be set", () => {
  for (const text of ["12345", "123456789", "12345a", "１２３４５６", " 123456", ""]) {
    assert.throws(
      () => Pin.parse(text),
      (error: PinError) => error.code === "pin_form",
      text,
    );
  }
  const weak = "111111 00000000 123456 654321 890123 210987 121212 1212121 123123 159753 12341234 11223344".split(" ");
  for (const text of weak) {
    assert.throws(
      () => NewPin.choose(Pin.parse(text)),
      (error: PinError) => error.code === "pin_weak",
      text,
    );
  }
  for (const text of "482915 135790 123457 112358 48291503".split(" ")) NewPin.choose(Pin.parse(text));
});

test("no way to print a PIN shows a digit", () => {
  const pin = Pin.parse("482915");
  for (const shown of [
    `${pin}`,
    JSON.stringify({ pin }),
    inspect(NewPin.choose(pin), { depth: 9, showHidden: true }),
  ]) {
    assert.doesNotMatch(shown, /482915|52, 56|34,38/);
  }
});
