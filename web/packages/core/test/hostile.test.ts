/** Each test is named after the fault that it excludes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WalletOptions } from "../src/wallet/index.js";
import { WalletError } from "../src/wallet/index.js";
import { APP, WALLET, type World, world } from "./windows.js";

type Answer = WalletOptions["answer"];
const LOAD = "ab".repeat(16);
const HELLO = { pinseal: "hello", version: 1, load: LOAD };
const status = (value: unknown): Answer => (async () => value) as unknown as Answer;
const fine = status({ status: "login" });
const fails = (code: string) => (error: unknown) => (error as { code?: string }).code === code;
const never = (() => new Promise(() => undefined)) as Answer;
const MESSAGE = { network: "eip155:1", address: `0x${"11".repeat(20)}`, message: "0x68" };
/** Lets every message that is under way arrive. */
async function arrive(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
}

function story(
  name: string,
  answer: Answer,
  tell: (world: World) => Promise<void>,
  options: Parameters<typeof world>[1] = {},
) {
  test(name, { timeout: 5_000 }, async () => {
    const stage = world(answer, options);
    try {
      await tell(stage);
    } finally {
      stage.stop();
    }
  });
}

const session = { status: "complete", userId: "u", email: "ada@example.org" };
story(
  "an address with signs that do not show fills in no form, nor one that a domain is hidden in",
  status(session),
  async (at) => {
    for (const email of [
      "ada@exam\u00adple.org",
      "\u200bada@example.org",
      "\u0430da@example.org",
      "a b@c.d",
      "ada@ex%61mple.org",
    ]) {
      for (const method of ["login", "signUp"] as const) {
        await assert.rejects(at.bridge.request(method, { email }), fails("bad_request"), email);
      }
    }
    for (const email of ["ada@example.org", "a%b@xn--bcher-kva.example", "ada"]) {
      assert.deepEqual(await at.bridge.request("login", { email }), session);
    }
  },
);

story("a request is answered, by a wallet that saw the app's true origin", fine, async ({ bridge, seen }) => {
  assert.deepEqual(await bridge.request("status", {}), { status: "login" });
  assert.deepEqual(seen.allowed, [["app-1", APP]]);
});

story(
  "messages from any other origin are not heard, be the wallet's a substring of it, nor those of another frame",
  fine,
  async ({ app, wallet, bridge, load }) => {
    const asked = bridge.request("status", {});
    let connects = 0;
    wallet.addEventListener("message", () => {
      connects += 1;
    });
    for (const origin of [
      "https://wallet.example.evil.example",
      "https://wallet.example:444",
      "http://wallet.example",
      "null",
      "",
    ]) {
      app.deliver(HELLO, wallet.proxy, origin);
    }
    app.deliver(HELLO, {}, WALLET);
    app.deliver({ ...HELLO, more: 1 }, wallet.proxy, WALLET);
    app.deliver({ type: "reply", id: 1, result: { status: "before_login" } }, wallet.proxy, WALLET);
    await arrive();
    assert.equal(connects, 0);
    load();
    assert.deepEqual(await asked, { status: "login" });
  },
  { loads: false },
);

story(
  "an app at an origin that is not registered gets no answer",
  fine,
  async ({ bridge }) => {
    await assert.rejects(bridge.request("status", {}), fails("origin_not_allowed"));
  },
  { allow: async () => false },
);

story(
  "a failing look-up of origins lets nobody in",
  fine,
  async ({ bridge }) => {
    await assert.rejects(bridge.request("status", {}), fails("origin_not_allowed"));
  },
  { allow: () => Promise.reject(new Error("HTTP 500")) },
);

story(
  "a second connect, or one from another window, takes nothing over",
  fine,
  async ({ app, wallet, bridge, seen }) => {
    await bridge.request("status", {});
    const connect = { pinseal: "connect", version: 1, load: seen.hello, appId: "thief" };
    wallet.deliver(connect, app.proxy, "https://evil.example", [new MessageChannel().port1]);
    wallet.deliver(connect, {}, APP, [new MessageChannel().port1]);
    await arrive();
    assert.equal(seen.allowed.length, 1);
    assert.deepEqual(await bridge.request("status", {}), { status: "login" });
  },
);

story(
  "a window that neither opened nor embeds the wallet cannot be the first to connect",
  fine,
  async ({ app, wallet, bridge, load, seen }) => {
    // It has heard the hello, and is quicker than the app.
    app.addEventListener("message", () => {
      const connect = { pinseal: "connect", version: 1, load: seen.hello, appId: "thief" };
      wallet.deliver(connect, {}, APP, [new MessageChannel().port1]);
    });
    const asked = bridge.request("status", {});
    load();
    assert.deepEqual(await asked, { status: "login" });
    assert.deepEqual(seen.allowed, [["app-1", APP]]);
  },
  { loads: false },
);

story("two quick requests open one frame", fine, async ({ bridge, seen }) => {
  await Promise.all([bridge.request("status", {}), bridge.request("status", {})]);
  assert.equal(seen.opens, 1);
});

story("no promise stays open after the user closes the wallet", never, async ({ bridge, ends, seen }) => {
  const asked = [bridge.request("login", {}), bridge.request("evm.signMessage", MESSAGE)];
  const settled = Promise.allSettled(asked);
  await arrive();
  ends[0]?.show(true);
  await arrive();
  assert.equal(seen.shown, true);
  ends[0]?.closedByUser();
  for (const one of await settled) assert.ok(one.status === "rejected" && fails("closed_by_user")(one.reason));
  assert.equal(seen.shown, false);
});

const asked: string[] = [];
const remember = (async (method: string) => {
  asked.push(method);
  return method === "status" ? { status: "login" } : new Promise(() => undefined);
}) as unknown as Answer;
story("a stale request is not shown at the next open", remember, async ({ bridge, ends }) => {
  await bridge.request("status", {});
  // The user closes in the same moment in which the app asks: the request left under the old count.
  ends[0]?.closedByUser();
  await assert.rejects(bridge.request("evm.signMessage", MESSAGE), fails("closed_by_user"));
  await arrive();
  assert.deepEqual(asked, ["status"]);
  assert.deepEqual(await bridge.request("status", {}), { status: "login" });
});

for (const [name, gone, code] of [
  ["a frame that was removed", "connection_lost", "connection_lost"],
  ["a window that the user closed after it was asked", "closed_by_user", "connection_lost"],
] as const) {
  story(`${name} settles what waits, and the next request opens anew`, never, async ({ bridge, seen }) => {
    const waits = bridge.request("login", {});
    await arrive();
    seen.gone = gone;
    await assert.rejects(waits, fails(code));
    void bridge.request("login", {}).catch(() => undefined);
    assert.equal(seen.opens, 2);
  });
}

story("a window whose user closed it says that it has handed over nothing", never, async ({ bridge, ends, seen }) => {
  const waits = bridge.request("login", {});
  await arrive();
  seen.gone = "closed_by_user";
  ends[0]?.closedByUser();
  await assert.rejects(waits, fails("closed_by_user"));
});

test("the last word of a page that is gone is waited for, and no longer than another look", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  for (const says of [true, false]) {
    const stage = world(never);
    t.after(stage.stop);
    const code = stage.bridge.request("login", {}).catch((error: { code: string }) => error.code);
    await arrive();
    stage.seen.gone = "closed_by_user";
    t.mock.timers.tick(250);
    await arrive();
    if (says) stage.ends[0]?.closedByUser();
    await arrive();
    t.mock.timers.tick(250);
    assert.equal(await code, says ? "closed_by_user" : "connection_lost");
    stage.stop();
  }
});

story("what was asked of a page that went away unnoticed does not cling to the next request", never, async (stage) => {
  const { bridge, seen } = stage;
  const waits = bridge.request("login", {});
  await arrive();
  seen.gone = "closed_by_user";
  const next = bridge.request("login", {}); // Before any timer has looked.
  await assert.rejects(waits, fails("connection_lost"));
  assert.equal(seen.opens, 2);
  await arrive();
  bridge.finalize();
  await assert.rejects(next, fails("finalized"));
});

story("a wallet page that reloads loses what it was asked, and says so", never, async ({ bridge, load }) => {
  const waits = bridge.request("login", {});
  await arrive();
  const lost = assert.rejects(waits, fails("connection_lost"));
  load();
  await lost;
});

story(
  "a connect to the page before a reload is not taken by the page after it",
  fine,
  async ({ bridge, load, ends, seen }) => {
    const asked = bridge.request("status", {});
    load();
    ends[0]?.end();
    load(); // The answer to the first hello is under way.
    assert.deepEqual(await asked, { status: "login" });
    assert.equal(seen.allowed.length, 1);
  },
  { loads: false },
);

story("a port that closes settles what waits", never, async ({ bridge, ends }) => {
  const waits = bridge.request("login", {});
  await arrive();
  ends[0]?.end();
  await assert.rejects(waits, fails("connection_lost"));
});

for (const [severed, code] of [
  [true, "opener_severed"],
  [false, "closed_by_user"],
] as const) {
  story(
    `a window that is gone before it speaks is ${code}, as this page's headers say`,
    fine,
    async ({ bridge, seen }) => {
      seen.severed = severed;
      const waits = bridge.request("login", {});
      seen.gone = "closed_by_user";
      await assert.rejects(waits, fails(code));
    },
    { loads: false },
  );
}

story(
  "finalize settles at once what still asks why its window is gone",
  fine,
  async ({ bridge, seen }) => {
    const waits = bridge.request("login", {});
    seen.gone = "closed_by_user";
    assert.equal(bridge.needsClick, false);
    const next = bridge.request("login", {});
    bridge.finalize();
    for (const each of [waits, next]) await assert.rejects(each, fails("finalized"));
  },
  { loads: false },
);

story("no window is opened by what needs no person", fine, async ({ bridge, seen }) => {
  seen.needsClick = true;
  assert.equal(bridge.needsClick, true);
  await assert.rejects(bridge.request("status", {}), fails("not_open"));
  assert.equal(seen.opens, 0);
  const login = assert.rejects(bridge.request("login", {}), fails("internal_error"));
  assert.equal(bridge.needsClick, false);
  assert.deepEqual(await bridge.request("status", {}), { status: "login" });
  await login;
});

const CLOSES = (async (method: string) => {
  await arrive();
  return method === "status" ? { status: "login" } : new Promise(() => undefined);
}) as unknown as Answer;
story("closing the wallet does not take back what needs no person", CLOSES, async ({ bridge, ends }) => {
  await bridge.request("status", {});
  const quiet = bridge.request("status", {});
  const shown = assert.rejects(bridge.request("login", {}), fails("closed_by_user"));
  ends[0]?.closedByUser();
  await shown;
  assert.deepEqual(await quiet, { status: "login" });
});

story(
  "a port that dies while the page stays is told, and the page's next hello connects anew",
  never,
  async (stage) => {
    const { bridge, app, wallet, load, seen } = stage;
    let port: MessagePort | undefined;
    const waits = bridge.request("login", {});
    wallet.addEventListener("message", (event) => {
      port ??= (event as MessageEvent).ports[0];
    });
    app.deliver(HELLO, wallet.proxy, WALLET);
    await arrive();
    port?.postMessage({ type: "ready" });
    await arrive();
    port?.close();
    await assert.rejects(waits, fails("connection_lost"));
    const next = bridge.request("login", {});
    load();
    await arrive();
    assert.equal(seen.opens, 1);
    assert.equal(seen.allowed.length, 1);
    bridge.finalize();
    await assert.rejects(next, fails("finalized"));
  },
  { loads: false },
);

test("a page that hangs ends what waits, without any event", { timeout: 5_000 }, async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const stage = world(never, { loads: false });
  t.after(stage.stop);
  const waits = stage.bridge.request("login", {});
  let pings = 0;
  stage.wallet.addEventListener("message", (event) => {
    const [port] = (event as MessageEvent).ports;
    if (port === undefined) return;
    port.onmessage = ({ data }) => {
      if (data.type === "ping") pings += 1;
    };
    port.postMessage({ type: "ready" });
  });
  stage.app.deliver(HELLO, stage.wallet.proxy, WALLET);
  await arrive();
  t.mock.timers.tick(60_000);
  await arrive();
  assert.equal(pings, 12);
  t.mock.timers.tick(5_000);
  await assert.rejects(waits, fails("connection_lost"));
});

test("a frame that loads something else than the wallet is told in two seconds, however much is asked meanwhile", {
  timeout: 5_000,
}, async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const stage = world(fine, { loads: false });
  t.after(stage.stop);
  const codes: string[] = [];
  const ask = (): void => void stage.bridge.request("status", {}).catch(({ code }) => codes.push(code));
  ask();
  t.mock.timers.tick(20_000);
  stage.seen.loaded = true;
  t.mock.timers.tick(1_750);
  for (let quick = 1; quick < 60; quick += 1) ask();
  await arrive();
  assert.deepEqual(codes, []);
  t.mock.timers.tick(250);
  await arrive();
  assert.deepEqual([codes.length, new Set(codes)], [60, new Set(["frame_refused"])]);
  // The next one tries anew, and a wallet that has spoken is waited for.
  ask();
  stage.load();
  await arrive();
  const lost: string[] = [];
  stage.bridge.onLost(({ code }) => lost.push(code));
  t.mock.timers.tick(10_000);
  await arrive();
  assert.deepEqual([codes.length, lost], [60, []]);
});

test("a page that lives is waited for as long as a person takes", { timeout: 5_000 }, async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const stage = world(never);
  t.after(stage.stop);
  const waits = stage.bridge.request("login", {});
  await arrive();
  for (let minute = 0; minute < 30; minute += 1) {
    t.mock.timers.tick(50_000);
    await arrive();
  }
  stage.ends[0]?.closedByUser();
  await assert.rejects(waits, fails("closed_by_user"));
});

story("the wallet hears once that the app is gone, and ends what it asked", never, async ({ bridge, seen }) => {
  const waits = bridge.request("login", {});
  await arrive();
  bridge.finalize();
  await assert.rejects(waits, fails("finalized"));
  await arrive();
  assert.equal(seen.ended, 1);
});

story(
  "a wallet that does not come up ends in time",
  fine,
  async ({ bridge }) => {
    await assert.rejects(bridge.request("login", {}), fails("timed_out"));
  },
  { loads: false, openSeconds: 0.05 },
);

story(
  "an answer that needs no person ends in time",
  never,
  async ({ bridge }) => {
    await assert.rejects(bridge.request("status", {}), fails("timed_out"));
  },
  { answerSeconds: 0.05 },
);

story("finalize settles what waits and what comes", never, async ({ bridge }) => {
  const waits = bridge.request("login", {});
  bridge.finalize();
  await assert.rejects(waits, fails("finalized"));
  await assert.rejects(bridge.request("status", {}), fails("finalized"));
});

const signals: AbortSignal[] = [];
const hold = ((_m: string, _p: unknown, { signal }: { signal: AbortSignal }) => {
  signals.push(signal);
  return new Promise(() => undefined);
}) as unknown as Answer;
story("a request taken back ends at the wallet as well", hold, async ({ bridge }) => {
  const control = new AbortController();
  const waits = bridge.request("login", {}, { signal: control.signal });
  await arrive();
  control.abort();
  await assert.rejects(waits, fails("cancelled"));
  await arrive();
  assert.equal(signals[0]?.aborted, true);
});

story(
  "an HTTP 500 is not read as success",
  status({ status: 500, error: "Internal Server Error" }),
  async ({ bridge }) => {
    await assert.rejects(bridge.request("status", {}), fails("internal_error"));
  },
);

const locked = (async () => {
  throw new WalletError("wallet_locked", "locked", true);
}) as unknown as Answer;
story("the wallet's own codes pass, and no text of another error does", locked, async ({ bridge }) => {
  await assert.rejects(
    bridge.request("login", {}),
    (error: WalletError) => error.code === "wallet_locked" && error.isRetryable,
  );
});

const leak = (async () => {
  throw new Error("PIN 482915");
}) as unknown as Answer;
story("an unexpected error carries nothing out of the wallet", leak, async ({ bridge }) => {
  await assert.rejects(bridge.request("login", {}), (error: WalletError) => {
    return error.code === "internal_error" && !error.message.includes("482915");
  });
});

story("unknown fields, wrong shapes and oversized messages are not sent", fine, async ({ bridge, seen }) => {
  const bad: unknown[] = [{ more: 1 }, null, [], "x", 7];
  for (const params of bad) await assert.rejects(bridge.request("status", params as never), fails("bad_request"));
  const large = { ...MESSAGE, message: `0x${"00".repeat(300_000)}` };
  await assert.rejects(bridge.request("evm.signMessage", large), fails("bad_request"));
  await assert.rejects(bridge.request("constructor" as never, {} as never), fails("bad_request"));
  assert.equal(seen.opens, 0);
});

/** A wallet that is not ours: it takes the port and says what it likes. */
for (const [name, lie] of [
  ["an unknown field", { type: "reply", id: 1, result: { status: "login" }, more: 1 }],
  ["an unknown kind", { type: "session", token: "x" }],
  ["an oversized reply", { type: "reply", id: 1, result: "x".repeat(600_000) }],
  ["a reply of another method's shape", { type: "reply", id: 1, result: { txId: "x" } }],
] as const) {
  story(
    `${name} from the wallet ends the connection`,
    fine,
    async ({ app, wallet, bridge }) => {
      const waits = bridge.request("status", {});
      wallet.addEventListener("message", (event) => {
        const [port] = (event as MessageEvent).ports;
        port?.postMessage({ type: "ready" });
        port?.postMessage(lie);
        port?.start();
      });
      app.deliver(HELLO, wallet.proxy, WALLET);
      await assert.rejects(waits, fails("bad_message"));
    },
    { loads: false },
  );
}

story(
  "a forged reply to a guessed id answers nothing",
  fine,
  async ({ app, wallet, bridge }) => {
    const waits = bridge.request("status", {});
    wallet.addEventListener("message", (event) => {
      const [port] = (event as MessageEvent).ports;
      port?.postMessage({ type: "reply", id: 1, result: { status: "before_login" } }); // Before anything was asked.
      port?.postMessage({ type: "ready" });
      port?.postMessage({ type: "reply", id: 2, result: { status: "before_login" } });
      port?.postMessage({ type: "reply", id: 1, result: { status: "login" } });
    });
    app.deliver(HELLO, wallet.proxy, WALLET);
    assert.deepEqual(await waits, { status: "login" });
  },
  { loads: false },
);
