/**
 * Each test is named after a fault that integrators of comparable products met. Those of messages, origins and windows have theirs in
 * `@pinseal/core`, those of networks and transactions in `@pinseal/provider`, and those of evidence, PIN and session in `@pinseal/client`.
 */
import assert from "node:assert/strict";
import { type Account, BridgeError } from "@pinseal/core";
import { WalletError } from "@pinseal/core/wallet";
import { type Answers, code, never, settle, stories } from "@pinseal/headless";
import { PinsealSDK, SdkError } from "../src/index.js";

const A: Account = { address: `0x${"aa".repeat(20)}`, network: "eip155:1" };
const SESSION = { status: "complete", userId: "u", email: "ada@example.org", walletId: "w" };

const USUAL: Answers = {
  status: () => ({ status: "before_login" }),
  language: () => "done",
  open: () => "done",
  close: () => "done",
  login: () => SESSION,
  register: () => SESSION,
  session: () => SESSION,
  logout: () => "done",
  accounts: () => [A],
  balance: () => [],
  send: () => ({ txId: "0x12" }),
  receive: () => "done",
};

const story = stories(USUAL, (options) => {
  const sdk = new PinsealSDK(options);
  return { parts: { sdk }, finalize: () => sdk.finalize() };
});

/** Everything a person is asked for. */
const ACTS: readonly ((sdk: PinsealSDK) => Promise<unknown>)[] = [
  (sdk) => sdk.openWidget(),
  (sdk) => sdk.loginWithUI({ email: "ada@example.org" }),
  (sdk) => sdk.register(),
  (sdk) => sdk.send({ account: A, txData: { to: A.address, amount: "0.25" } }),
  (sdk) => sdk.receive(A),
];
const WAITS: Answers = { open: never, login: never, register: never, send: never, receive: never };

story(
  "the status says where the user stands at every point, and events tell of each change once",
  async ({ sdk, stage }) => {
    const told: string[] = [];
    sdk.on("statusChanged", (status) => told.push(status));
    assert.equal(await sdk.getStatus(), "not_initialized");
    const starting = sdk.init();
    assert.equal(await sdk.getStatus(), "initializing");
    assert.equal(sdk.isInitialized(), false);
    await starting;
    assert.equal(await sdk.getStatus(), "before_login");
    const user = await sdk.loginWithUI();
    assert.deepEqual(user, {
      status: "success",
      userInfo: { userId: "u", email: "ada@example.org" },
      walletId: "w",
      userStatus: { loginStatus: "complete" },
    });
    stage.end?.tell("session", { status: "login" });
    await sdk.logout();
    sdk.finalize();
    await settle();
    assert.deepEqual(told, ["initializing", "initialized", "before_login", "login", "before_login", "not_initialized"]);
  },
);

story("what is called before init, or after finalize, says so", async ({ sdk, stage }) => {
  const refused = (error: unknown): boolean => error instanceof SdkError && error.code === "not_initialized";
  for (const act of [...ACTS, (s: PinsealSDK) => s.getAccounts()]) await assert.rejects(act(sdk), refused);
  await sdk.init();
  sdk.finalize();
  for (const act of ACTS) await assert.rejects(act(sdk), refused);
  await sdk.init();
  assert.deepEqual(await sdk.getAccounts(), [A]);
  assert.equal(stage.opens, 2);
});

for (const why of ["closed_by_user", "connection_lost", "finalized"] as const) {
  story(
    `no promise stays open: ${why}`,
    async ({ sdk, stage }) => {
      await sdk.init();
      for (const act of ACTS) {
        const waits = assert.rejects(act(sdk), (error) => error instanceof BridgeError && error.code === why);
        await settle();
        if (why === "closed_by_user") stage.end?.closedByUser();
        if (why === "connection_lost") stage.leave(why);
        if (why === "finalized") sdk.finalize();
        await waits;
        if (why === "finalized") await sdk.init();
      }
    },
    WAITS,
  );
}

story(
  "a wallet that does not come up fails init, and the next init tries again",
  async ({ sdk, asked }) => {
    await assert.rejects(sdk.init(), code("internal_error"));
    assert.equal(await sdk.getStatus(), "not_initialized");
    await assert.rejects(sdk.init(), code("internal_error"));
    assert.equal(asked.length, 2);
  },
  { status: () => ({ status: 500, error: "Internal Server Error" }) },
);

story("finalize in the middle of init settles it, and does not end the init after it", async ({ sdk }) => {
  const first = assert.rejects(sdk.init(), code("finalized"));
  sdk.finalize();
  await sdk.init();
  await first;
  assert.equal(await sdk.getStatus(), "before_login");
});

const shownAt: string[] = [];
story(
  "a stale request is not shown at the next open",
  async ({ sdk, stage }) => {
    await sdk.init();
    stage.end?.closedByUser();
    await assert.rejects(sdk.send({ account: A }), code("closed_by_user"));
    await sdk.openWidget();
    assert.deepEqual(shownAt, []);
  },
  { send: () => shownAt.push("send") },
);

story(
  "a language is wished for at the start, when it changes and at each opening, and one that is none is told",
  async ({ sdk, stage, asked }) => {
    const wishes = () => asked.filter(([method]) => method === "language").map(([, params]) => params);
    await sdk.init({ defaultLanguage: "ko" });
    assert.deepEqual(wishes(), [{ language: "ko" }]);
    await sdk.changeLanguage({ language: "en-GB" });
    await assert.rejects(sdk.changeLanguage({ language: "<b>" }), code("bad_request"));
    stage.end?.show(true);
    await settle();
    assert.deepEqual(wishes(), [{ language: "ko" }, { language: "en-GB" }, { language: "en-GB" }]);
  },
);

story(
  "a wallet that is too old for languages opens all the same",
  async ({ sdk, stage }) => {
    await sdk.init({ defaultLanguage: "ko" });
    await sdk.changeLanguage({ language: "en" });
    stage.end?.show(true);
    await settle();
    assert.deepEqual(await sdk.getAccounts(), [A]);
  },
  {
    language: () => {
      throw new WalletError("unsupported_method", "the wallet does not know this request");
    },
  },
);

story("two quick calls open one frame", async ({ sdk, stage }) => {
  await Promise.all([sdk.init(), sdk.init()]);
  await Promise.all([sdk.loginWithUI(), sdk.getAccounts(), sdk.openWidget()]);
  assert.equal(stage.opens, 1);
});

story(
  "an HTTP 500 is not read as success, in any call",
  async ({ sdk }) => {
    await sdk.init();
    for (const act of [...ACTS, (s: PinsealSDK) => s.getAccounts(), (s: PinsealSDK) => s.getBalance()]) {
      await assert.rejects(act(sdk), code("internal_error"));
    }
    await assert.rejects(sdk.logout(), code("internal_error"));
    assert.equal(await sdk.getStatus(), "before_login");
  },
  Object.fromEntries(
    Object.keys(USUAL)
      .filter((name) => name !== "status")
      .map((name) => [name, () => ({ status: 500 })]),
  ),
);

story(
  "isAA is not dropped, nor the account's contract",
  async ({ sdk, asked }) => {
    await sdk.init();
    const [account] = await sdk.getAccounts({ withEoa: true });
    assert.deepEqual(account, { ...A, isAA: true, contract: "0xab" });
    assert.ok(account);
    await sdk.send({ account });
    assert.deepEqual(asked.at(-1), ["send", { account }]);
  },
  { accounts: () => [{ ...A, isAA: true, contract: "0xab" }] },
);

story(
  "amounts are never rounded, above 2^53 and below a millionth",
  async ({ sdk, asked }) => {
    await sdk.init();
    const amount = "9007199254740993.000000000000000001";
    await sdk.send({ account: A, txData: { to: A.address, amount } });
    assert.deepEqual(asked.at(-1), ["send", { account: A, to: A.address, amount }]);
    const [balance] = await sdk.getBalance();
    assert.equal(balance?.balance, amount);
    for (const bad of [0.25, 2 ** 53, "1e3", "-1", "", "1.", "0x1"]) {
      await assert.rejects(sdk.send({ account: A, txData: { amount: bad as string } }), code("bad_request"));
    }
  },
  {
    balance: () => [
      {
        network: A.network,
        address: A.address,
        symbol: "ETH",
        balance: "9007199254740993.000000000000000001",
        tokens: [],
      },
    ],
  },
);

story("every network name resolves, kaia as well, and an unknown one is told", async ({ sdk, asked }) => {
  await sdk.init();
  await sdk.getAccounts({
    networks: ["kaia", "klaytn-testnet", "Ethereum", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "eip155:5"],
  });
  assert.deepEqual(asked.at(-1)?.[1], {
    networks: ["eip155:8217", "eip155:1001", "eip155:1", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "eip155:5"],
  });
  await assert.rejects(sdk.getAccounts({ networks: ["nowhere"] }), code("network_unknown"));
  await sdk.receive({ ...A, network: "kaia" });
  assert.deepEqual(asked.at(-1), ["receive", { account: { ...A, network: "eip155:8217" } }]);
});

story("nothing is logged and nothing is stored in the app's page, and no token reaches it", async ({ sdk, stage }) => {
  const touched: string[] = [];
  const before = { ...console };
  for (const name of Object.keys(before)) {
    Object.assign(console, { [name]: () => touched.push(name) });
  }
  for (const name of ["localStorage", "sessionStorage", "indexedDB"]) {
    Object.defineProperty(globalThis, name, { configurable: true, get: () => touched.push(name) });
  }
  try {
    await sdk.init();
    const told = [await sdk.loginWithUI(), await sdk.getLoginSession(), await sdk.getAccounts()];
    await assert.rejects(sdk.loginWithUI({ email: 7 as never }), code("bad_request"));
    stage.end?.closedByUser();
    assert.doesNotMatch(JSON.stringify(told), /token|refresh/i);
  } finally {
    Object.assign(console, before);
    for (const name of ["localStorage", "sessionStorage", "indexedDB"])
      delete (globalThis as Record<string, unknown>)[name];
  }
  assert.deepEqual(touched, []);
});

story(
  "logout where nobody is logged in is done, and any other failure of it is told",
  async ({ sdk }) => {
    await sdk.init();
    await sdk.loginWithUI();
    await sdk.logout();
    const statuses: string[] = [];
    sdk.on("statusChanged", (status) => statuses.push(status));
    await assert.rejects(sdk.logout(), code("consent_required"));
    await assert.rejects(sdk.logout(), code("internal_error"));
    await settle();
    assert.deepEqual(statuses, []);
  },
  {
    logout: (() => {
      const answers = ["login_required", "consent_required"];
      return () => {
        const refusal = answers.shift();
        if (refusal !== undefined) throw new WalletError(refusal, "no");
        return { status: 500 };
      };
    })(),
  },
);

story(
  "a session that carries more than the table says is refused, tokens above all",
  async ({ sdk }) => {
    await sdk.init();
    await assert.rejects(sdk.loginWithUI(), code("internal_error"));
  },
  { login: () => ({ ...SESSION, token: { accessToken: "a", refreshToken: "r" } }) },
);

story(
  "the wallet's own error keeps its code, for the app to decide by",
  async ({ sdk }) => {
    await sdk.init();
    await assert.rejects(
      sdk.send({ account: A }),
      (error: WalletError) => error.code === "pin_delayed" && error.isRetryable,
    );
  },
  {
    send: () => {
      throw new WalletError("pin_delayed", "wait", true);
    },
  },
);

story(
  "a window of its own opens with a click alone, and is closed by closeWidget only where it is open",
  async ({ sdk, stage, asked }) => {
    stage.needsClick = true;
    await sdk.init();
    assert.equal(await sdk.getStatus(), "initialized");
    await sdk.closeWidget();
    await assert.rejects(sdk.getAccounts(), code("not_open"));
    assert.equal(stage.opens, 0);
    const opened = sdk.loginWithUI();
    assert.equal(stage.opens, 1); // In the click itself, not after it.
    await opened;
    assert.deepEqual(await sdk.getAccounts(), [A]);
    await sdk.closeWidget();
    assert.deepEqual(
      asked.map(([method]) => method),
      ["login", "accounts", "close"],
    );
  },
);

story("events tell when the widget is seen, what was sent and whose accounts they are", async ({ sdk, stage }) => {
  const told: [string, unknown][] = [];
  const stops = (["widgetOpened", "widgetClosed", "sent", "accountsChanged"] as const).map((event) =>
    sdk.on(event, (data: unknown) => told.push([event, data])),
  );
  await sdk.init();
  stage.end?.show(true);
  stage.end?.show(true);
  stage.end?.show(false);
  stage.end?.show(true);
  stage.end?.closedByUser();
  stage.end?.tell("accounts", [A]);
  await settle(); // What was asked before the app knew of the closing would be taken back with the rest.
  await sdk.send({ account: A });
  await settle();
  assert.deepEqual(told, [
    ["widgetOpened", undefined],
    ["widgetClosed", undefined],
    ["widgetOpened", undefined],
    ["widgetClosed", undefined],
    ["accountsChanged", [A]],
    ["sent", { account: A, txId: "0x12" }],
  ]);
  for (const stop of stops) stop();
  await sdk.send({ account: A });
  await settle();
  assert.equal(told.length, 6);
});
