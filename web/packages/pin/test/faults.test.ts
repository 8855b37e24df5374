/**
 * Each test is named after a fault that integrators of comparable products met. Those of messages, origins and windows have theirs in
 * `@pinseal/core`; that the wallet's page verifies the enclave before the pad opens, and the element itself, are tested with that page.
 */
import assert from "node:assert/strict";
import { BridgeError } from "@pinseal/core";
import { WalletError } from "@pinseal/core/wallet";
import { type Answers, code, never, settle, stories } from "@pinseal/headless";
import { PinsealPin } from "../src/index.js";

const SIGNATURE = `0x${"ab".repeat(65)}`;
const MESSAGE = { network: "eip155:1", address: `0x${"11".repeat(20)}`, message: "0x68" };

const USUAL: Answers = {
  register: () => ({ status: "complete", userId: "u", email: "ada@example.org", walletId: "w" }),
  "pin.verify": () => "done",
  "pin.change": () => "done",
  "evm.signMessage": () => SIGNATURE,
};
const all = (answer: () => unknown): Answers => Object.fromEntries(Object.keys(USUAL).map((name) => [name, answer]));

const story = stories(USUAL, (options) => {
  const pin = new PinsealPin(options);
  return { parts: { pin }, finalize: () => pin.finalize() };
});

/** Everything a person is asked for. */
const ACTS: readonly ((pin: PinsealPin) => Promise<unknown>)[] = [
  (pin) => pin.register(),
  (pin) => pin.authenticate(),
  (pin) => pin.change(),
  (pin) => pin.approve("evm.signMessage", MESSAGE),
];

story("each call asks for what it says, and comes to what the wallet says", async ({ pin, asked }) => {
  const user = await pin.register();
  assert.deepEqual(user.userStatus, { loginStatus: "complete" });
  assert.equal(await pin.authenticate(), undefined);
  assert.equal(await pin.change(), undefined);
  assert.equal(await pin.approve("evm.signMessage", MESSAGE), SIGNATURE);
  assert.deepEqual(asked, [
    ["register", {}],
    ["pin.verify", {}],
    ["pin.change", {}],
    ["evm.signMessage", MESSAGE],
  ]);
});

for (const why of ["closed_by_user", "connection_lost", "finalized", "cancelled"] as const) {
  story(
    `no promise stays open: ${why}`,
    async ({ pin, stage }) => {
      for (const act of ["register", "authenticate", "change"] as const) {
        const control = new AbortController();
        const asked = pin[act]({ signal: control.signal });
        const waits = assert.rejects(asked, (error) => error instanceof BridgeError && error.code === why);
        await settle();
        if (why === "closed_by_user") stage.end?.closedByUser();
        if (why === "connection_lost") stage.leave(why);
        if (why === "finalized") pin.finalize();
        if (why === "cancelled") control.abort();
        await waits;
        if (why === "finalized") return;
      }
    },
    all(never),
  );
}

story(
  "a forged PIN block is not returned as genuine: what is more than done is refused, a block and a hint above all",
  async ({ pin }) => {
    for (const act of ACTS.slice(1, 3)) await assert.rejects(act(pin), code("internal_error"));
  },
  {
    "pin.verify": () => ({ UVDs: [{ seqNum: 1, b64SKey: "k", b64Data: "d" }] }),
    "pin.change": () => ({ UVD: "x", hint: "4*2***" }),
  },
);

story("a PIN, a hint or a count cannot be handed over", async ({ pin, asked }) => {
  for (const params of [{ pin: "482915" }, { hint: "4" }, { count: 2 }]) {
    await assert.rejects(pin.bridge.request("pin.verify", params as never), code("bad_request"));
  }
  assert.deepEqual(asked, []);
});

story("two quick calls open one frame", async ({ pin, stage }) => {
  await Promise.all(ACTS.map((act) => act(pin)));
  assert.equal(stage.opens, 1);
});

story("a stale request is not shown at the next open", async ({ pin, stage, asked }) => {
  await pin.authenticate();
  stage.end?.closedByUser();
  await assert.rejects(pin.change(), code("closed_by_user"));
  await pin.authenticate();
  assert.deepEqual(
    asked.map(([method]) => method),
    ["pin.verify", "pin.verify"],
  );
});

story(
  "an HTTP 500 is not read as a right PIN, in any call",
  async ({ pin }) => {
    for (const act of ACTS) await assert.rejects(act(pin), code("internal_error"));
  },
  all(() => ({ status: 500, error: "Internal Server Error" })),
);

story(
  "the wallet's own error keeps its code, and one that is not on purpose its text to itself",
  async ({ pin }) => {
    await assert.rejects(pin.authenticate(), (error) => error instanceof WalletError && error.code === "pin_locked");
    await assert.rejects(pin.change(), (error: WalletError) => !error.message.includes("482915"));
  },
  {
    "pin.verify": () => {
      throw new WalletError("pin_locked", "no tries are left");
    },
    "pin.change": () => {
      throw new Error("PIN 482915");
    },
  },
);

story("nothing is logged and nothing is stored in the app's page", async ({ pin, stage }) => {
  const touched: string[] = [];
  const before = { ...console };
  for (const name of Object.keys(before)) Object.assign(console, { [name]: () => touched.push(name) });
  const stores = ["localStorage", "sessionStorage", "indexedDB"];
  for (const name of stores) {
    Object.defineProperty(globalThis, name, { configurable: true, get: () => touched.push(name) });
  }
  try {
    for (const act of ACTS) await act(pin);
    await assert.rejects(pin.approve("evm.signMessage", {} as never), code("bad_request"));
    stage.end?.closedByUser();
  } finally {
    Object.assign(console, before);
    for (const name of stores) delete (globalThis as Record<string, unknown>)[name];
  }
  assert.deepEqual(touched, []);
});

story("a bridge that was given stays when the pad goes", async ({ pin, stage }) => {
  const other = new PinsealPin({ bridge: pin.bridge });
  await other.authenticate();
  other.finalize();
  await pin.authenticate();
  assert.equal(stage.opens, 1);
});

story("a window of its own opens with a click alone", async ({ pin, stage }) => {
  stage.needsClick = true;
  await assert.rejects(pin.bridge.request("status", {}), code("not_open"));
  const opened = pin.authenticate();
  assert.equal(stage.opens, 1); // In the click itself, not after it.
  await opened;
});
