/** Each test is named after the fault that it excludes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "@pinseal/core";
import { WalletError, type WalletOptions } from "@pinseal/core/wallet";
import { type Page, page } from "@pinseal/headless";
import { announce, getProvider, type PinsealProvider, ProviderRpcError } from "../src/index.js";

const A = `0x${"aA".repeat(20)}`;
const B = `0x${"bB".repeat(20)}`;
const HASH = `0x${"12".repeat(32)}`;
const SIGNATURE = `0x${"ab".repeat(65)}`;
const CHAIN = "eip155:1";

type Asked = [method: string, params: Record<string, unknown>];
interface Stage {
  readonly provider: PinsealProvider;
  readonly bridge: Bridge;
  readonly stage: Page;
  /** Requests that reached the wallet. */
  readonly asked: Asked[];
  readonly events: [string, unknown][];
  ask(method: string, ...params: unknown[]): Promise<unknown>;
}
/** What the wallet answers in place of the usual. */
type Answers = Record<string, (params: Record<string, unknown>) => unknown>;

const USUAL: Answers = {
  login: () => ({ status: "complete", userId: "u" }),
  accounts: () => [
    { address: A, network: CHAIN },
    { address: B, network: "eip155:137" },
  ],
  networks: () => [
    { network: CHAIN, name: "Ethereum" },
    { network: "eip155:137", name: "Polygon" },
    { network: "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", name: "Solana" },
  ],
  "evm.signMessage": () => SIGNATURE,
  "evm.signTypedData": () => SIGNATURE,
  "evm.sendTransaction": () => HASH,
  "evm.signTransaction": () => "0x02",
  "evm.watchToken": () => true,
  "evm.rpc": () => null,
  revoke: () => "done",
  open: () => "done",
};

function story(name: string, tell: (stage: Stage) => Promise<void>, answers: Answers = {}): void {
  test(name, { timeout: 10_000 }, async () => {
    const asked: Asked[] = [];
    const stage = page((async (method: string, params: Record<string, unknown>) => {
      asked.push([method, params]);
      const answer = answers[method] ?? USUAL[method];
      if (answer === undefined) throw new WalletError("unsupported_method", "no");
      return answer(params);
    }) as unknown as WalletOptions["answer"]);
    const bridge = new Bridge(stage.options);
    const provider = getProvider(bridge, CHAIN);
    const events: [string, unknown][] = [];
    for (const event of ["connect", "disconnect", "accountsChanged", "chainChanged"] as const) {
      provider.on(event, (data) => events.push([event, data]));
    }
    try {
      const ask = (method: string, ...params: unknown[]) => provider.request({ method, params });
      await tell({ provider, bridge, stage, asked, events, ask });
    } finally {
      stage.stop(bridge);
    }
  });
}

const code = (wanted: number) => (error: unknown) => error instanceof ProviderRpcError && error.code === wanted;
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
};

story("getProvider never returns another chain's provider", async ({ bridge, ask }) => {
  const polygon = getProvider(bridge, "evmpolygon");
  assert.equal(await polygon.request({ method: "eth_chainId" }), "0x89");
  await ask("wallet_switchEthereumChain", { chainId: "0x89" });
  assert.equal(await getProvider(bridge, CHAIN).request({ method: "eth_chainId" }), "0x1");
  assert.equal(await polygon.request({ method: "eth_requestAccounts" }).then(String), B);
  for (const name of ["solana", "bitcoin", "eip155:0", "eip155:01", "", "constructor"]) {
    assert.throws(() => getProvider(bridge, name), code(4902), name);
  }
});

story("every network name of integrators' code resolves, kaia as well", async ({ bridge }) => {
  const names = {
    ethereum: 1,
    "evmeth-sepolia": 11155111,
    klaytn: 8217,
    "klaytn-testnet": 1001,
    kaia: 8217,
    evmbsc: 56,
  };
  for (const [name, chain] of Object.entries(names)) {
    const id = await getProvider(bridge, name).request({ method: "eth_chainId" });
    assert.equal(BigInt(id as string), BigInt(chain), name);
  }
});

story("nonce and 1559 fields are never dropped, and big numbers stay exact", async ({ ask, asked }) => {
  await ask("eth_requestAccounts");
  const exact = {
    from: A,
    to: B,
    value: "0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
    nonce: "0x0",
    gas: "0x5209",
    maxFeePerGas: "0x20000000000001",
    maxPriorityFeePerGas: "0x3",
    type: "0x2",
    data: "0xdeadBEEF",
    chainId: "0x1",
    accessList: [{ address: B, storageKeys: [HASH] }],
  };
  await ask("eth_sendTransaction", exact);
  assert.deepEqual(asked.at(-1), ["evm.sendTransaction", { network: CHAIN, transaction: exact }]);
  // Other spellings of the same.
  const { gas, data, ...rest } = exact;
  await ask("eth_sendTransaction", {
    ...rest,
    gasLimit: gas,
    input: data,
    nonce: 0,
    maxFeePerGas: 2n ** 53n + 1n,
    value: rest.value,
  });
  assert.deepEqual(asked.at(-1), ["evm.sendTransaction", { network: CHAIN, transaction: exact }]);
});

story("what the wallet does not know of a transaction is refused, not dropped", async ({ ask, asked }) => {
  await ask("eth_requestAccounts");
  const before = asked.length;
  const bad: object[] = [
    { authorizationList: [] },
    { blobs: ["0x"] },
    { feeCurrency: B },
    { value: 2 ** 53 },
    { value: "1" },
    { value: -1 },
    { value: 1.5 },
    { nonce: `0x1${"0".repeat(64)}` },
    { chainId: "0x89" },
    { data: "0x1" },
    { data: "0x12", input: "0x13" },
    { gas: "0x1", gasLimit: "0x1" },
    { to: "vitalik.eth" },
    { accessList: {} },
  ];
  for (const more of bad) {
    await assert.rejects(
      ask("eth_sendTransaction", { from: A, to: B, ...more }),
      code(-32602),
      JSON.stringify(Object.keys(more)),
    );
  }
  assert.equal(asked.length, before);
});

story("typed data crosses as it was written, and an object only without lost digits", async ({ ask, asked }) => {
  await ask("eth_requestAccounts");
  const text =
    '{ "message": { "amount": 115792089237316195423570985008687907853269984665640564039457584007913129639935 } }';
  await ask("eth_signTypedData_v4", A, text);
  assert.equal(asked.at(-1)?.[1].typedData, text);
  await ask("eth_signTypedData_v3", A, { message: { amount: 2n ** 255n } });
  assert.equal(asked.at(-1)?.[1].typedData, `{"message":{"amount":"${2n ** 255n}"}}`);
  await assert.rejects(ask("eth_signTypedData_v4", A, { message: { amount: 2 ** 53 } }), code(-32602));
});

story("methods that sign what nobody can read, or need a node's state, are 4200", async ({ ask, asked }) => {
  await ask("eth_requestAccounts");
  const before = asked.length;
  for (const method of [
    "eth_sign",
    "eth_signTypedData",
    "eth_signTypedData_v1",
    "eth_sendRawTransaction",
    "eth_newFilter",
    "eth_subscribe",
    "debug_traceCall",
    "anvil_setBalance",
    "personal_unlockAccount",
    "wallet_invokeSnap",
    "constructor",
    "",
  ]) {
    await assert.rejects(ask(method, A, "0x00"), code(4200), method);
  }
  assert.equal(asked.length, before);
});

story("an account that the user has not shown is 4100, whatever its owner", async ({ ask, asked }) => {
  await assert.rejects(ask("personal_sign", "0x68", B), code(4100));
  await assert.rejects(ask("eth_sendTransaction", { from: B, to: A }), code(4100));
  assert.ok(asked.every(([method]) => method === "accounts"));
  await ask("personal_sign", "0x68", A.toLowerCase());
  assert.equal(asked.at(-1)?.[1].address, A);
});

for (const [wallet, rpc] of [
  ["declined", 4001],
  ["login_required", 4100],
  ["consent_required", 4100],
  ["account_unknown", 4100],
  ["unsupported_method", 4200],
  ["unsupported_version", 4200],
  ["network_unknown", 4901],
  ["bad_request", -32602],
  ["too_many_requests", -32005],
  ["node_refused", 3],
  ["internal_error", -32603],
  ["pin_locked", -32603],
  ["constructor", -32603],
] as const) {
  story(
    `the wallet's ${wallet} is ${rpc}, and its own code stays to be read`,
    async ({ ask }) => {
      await ask("eth_requestAccounts");
      await assert.rejects(ask("personal_sign", "0x68", A), (error: ProviderRpcError) => {
        return error.code === rpc && error.data?.code === wallet && error.data.retryable;
      });
    },
    {
      "evm.signMessage": () => {
        throw new WalletError(wallet, "no", true);
      },
    },
  );
}

story(
  "an HTTP 500 is not read as success",
  async ({ ask }) => {
    await ask("eth_requestAccounts");
    await assert.rejects(ask("eth_sendTransaction", { from: A, to: B }), code(-32603));
    await assert.rejects(ask("personal_sign", "0x68", A), code(-32603));
  },
  { "evm.sendTransaction": () => ({ status: 500 }), "evm.signMessage": () => "Internal Server Error" },
);

story("events come when something changed, once, and never before", async ({ provider, ask, events, stage }) => {
  assert.deepEqual(await ask("eth_chainId"), "0x1");
  await settle();
  assert.deepEqual(events, []);
  await ask("eth_requestAccounts");
  await ask("eth_requestAccounts");
  await ask("wallet_switchEthereumChain", { chainId: "0x1" });
  await ask("wallet_switchEthereumChain", { chainId: "0x89" });
  await settle();
  assert.deepEqual(events, [
    ["connect", { chainId: "0x1" }],
    ["accountsChanged", [A]],
    ["chainChanged", "0x89"],
  ]);
  events.length = 0;
  stage.end?.tell("accounts", [{ address: A, network: "eip155:137" }]);
  await settle();
  stage.end?.tell("accounts", [{ address: B, network: "eip155:137" }]);
  await settle();
  stage.end?.tell("session", { status: "before_login" });
  await settle();
  assert.deepEqual(events, [
    ["accountsChanged", [B]],
    ["accountsChanged", []],
  ]);
  const listener = (): void => assert.fail("was removed");
  provider.on("chainChanged", listener).removeListener("chainChanged", listener);
  await ask("wallet_switchEthereumChain", { chainId: "0x1" });
});

story("a wallet that pushes accounts before the user let the app in tells nothing", async ({ ask, events, stage }) => {
  await ask("wallet_switchEthereumChain", { chainId: "0x89" });
  stage.end?.tell("accounts", [{ address: A, network: "eip155:137" }]);
  await settle();
  assert.deepEqual(events, [["chainChanged", "0x89"]]);
});

story(
  "a wallet that is gone disconnects, and the next answer connects again",
  async ({ ask, events, stage }) => {
    await ask("eth_requestAccounts");
    events.length = 0;
    const waits = ask("personal_sign", "0x68", A);
    await settle();
    stage.leave("connection_lost");
    await assert.rejects(waits, code(4900));
    assert.ok(code(4900)(events[0]?.[1]));
    await ask("eth_blockNumber");
    await settle();
    assert.deepEqual(
      events.map(([name]) => name),
      ["disconnect", "connect"],
    );
  },
  { "evm.signMessage": () => new Promise(() => undefined) },
);

story("switching to a network that the wallet does not have leaves the chain as it is", async ({ ask, events }) => {
  await assert.rejects(ask("wallet_switchEthereumChain", { chainId: "0x5" }), code(4902));
  await assert.rejects(
    ask("wallet_addEthereumChain", { chainId: "0x5", rpcUrls: ["https://evil.example"] }),
    code(4200),
  );
  assert.equal(await ask("wallet_addEthereumChain", { chainId: "0x89" }), null);
  const gem = { name: "Gem", symbol: "GEM", decimals: 18 };
  const sound = {
    chainId: "0x89",
    chainName: "Gem",
    nativeCurrency: gem,
    rpcUrls: ["https://rpc.example"],
    iconUrls: null,
  };
  assert.equal(await ask("wallet_addEthereumChain", sound), null);
  for (const bad of [
    { chainName: 1 },
    { nativeCurrency: "GEM" },
    { nativeCurrency: { ...gem, symbol: "G" } },
    { nativeCurrency: { ...gem, decimals: "18" } },
    { rpcUrls: [] },
    { rpcUrls: ["rpc.example"] },
    { blockExplorerUrls: "https://scan.example" },
  ]) {
    await assert.rejects(ask("wallet_addEthereumChain", { ...sound, ...bad }), code(-32602), JSON.stringify(bad));
  }
  for (const bad of ["0x01", "1", 1, null, "0x"]) {
    await assert.rejects(ask("wallet_switchEthereumChain", { chainId: bad }), code(-32602));
  }
  assert.equal(await ask("eth_chainId"), "0x1");
  assert.deepEqual(events, []);
});

story("a wallet in a window of its own is not opened by what needs no click", async ({ ask, stage, asked }) => {
  stage.needsClick = true;
  assert.deepEqual(await ask("eth_accounts"), []);
  await assert.rejects(ask("eth_blockNumber"), code(4900));
  assert.equal(stage.opens, 0);
  await ask("eth_requestAccounts");
  assert.deepEqual(
    asked.map(([method]) => method),
    ["login", "accounts"],
  );
});

test("a window of its own is closed when nobody needs it, without a disconnect", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const stage = page((async (method: string) => USUAL[method]?.({})) as unknown as WalletOptions["answer"]);
  stage.needsClick = true;
  const bridge = new Bridge(stage.options);
  t.after(() => stage.stop(bridge));
  const provider = getProvider(bridge, CHAIN);
  const lost: unknown[] = [];
  provider.on("disconnect", (error) => lost.push(error));
  await provider.request({ method: "eth_requestAccounts" });
  stage.end?.show(false);
  await settle();
  t.mock.timers.tick(1_900);
  assert.equal(bridge.needsClick, false);
  t.mock.timers.tick(500);
  assert.equal(bridge.needsClick, true);
  assert.deepEqual(await provider.request({ method: "eth_accounts" }), [A]);
  await provider.request({ method: "personal_sign", params: ["0x68", A] });
  assert.equal(stage.opens, 2);
  await settle();
  assert.deepEqual(lost, []);
});

story("permissions are the accounts and nothing else", async ({ ask, asked }) => {
  assert.deepEqual(await ask("wallet_getPermissions"), [
    {
      parentCapability: "eth_accounts",
      invoker: "https://app.example",
      caveats: [{ type: "restrictReturnedAccounts", value: [A] }],
    },
  ]);
  await assert.rejects(ask("wallet_requestPermissions", { eth_accounts: {}, wallet_snap: {} }), code(4200));
  for (const bad of [{}, null, [], { eth_accounts: { requiredMethods: [] } }]) {
    await assert.rejects(ask("wallet_requestPermissions", bad), code(-32602));
  }
  assert.ok(!asked.some(([method]) => method === "login"));
  await ask("wallet_revokePermissions", { eth_accounts: {} });
  assert.equal(asked.at(-1)?.[0], "revoke");
});

story("a bundle says what it cannot do before anything is sent", async ({ ask, asked }) => {
  await ask("eth_requestAccounts");
  const bundle = { version: "2.0.0", chainId: "0x1", from: A, atomicRequired: false, calls: [{ to: B }] };
  const bad: [object, number][] = [
    [{ version: "3.0" }, -32602],
    [{ atomicRequired: true }, 5760],
    [{ atomicRequired: "true" }, -32602],
    [{ atomicRequired: 1 }, -32602],
    [{ chainId: "0x5" }, 5710],
    [{ capabilities: { paymasterService: { url: "https://x" } } }, 5700],
    [{ calls: [{ to: B, capabilities: { x: {} } }] }, 5700],
    [{ calls: [] }, -32602],
    [{ calls: Array.from({ length: 17 }, () => ({ to: B })) }, 5740],
    [{ calls: [{ to: B }, { to: B, gas: "0x1" }] }, -32602],
    [{ from: B }, 4100],
  ];
  for (const [more, wanted] of bad) await assert.rejects(ask("wallet_sendCalls", { ...bundle, ...more }), code(wanted));
  assert.ok(!asked.some(([method]) => method === "evm.sendTransaction"));
  const optional = { ...bundle, id: "mine", capabilities: { x: { optional: true } } };
  assert.deepEqual(await ask("wallet_sendCalls", optional), { id: "mine" });
  await assert.rejects(ask("wallet_sendCalls", optional), code(5720));
  for (const id of ["0x", "nobody's", 7, `0x${"00".repeat(40)}70696e73656131`]) {
    await assert.rejects(ask("wallet_getCallsStatus", id), code(5730));
    await assert.rejects(ask("wallet_showCallsStatus", id), code(5730));
  }
  assert.ok(!asked.some(([method]) => method === "open"));
  assert.equal(await ask("wallet_showCallsStatus", "mine"), null);
});

let decide: (() => void)[] = [];
story(
  "a bundle's id is taken from when it is asked for, and free again where nothing was sent",
  async ({ ask, asked }) => {
    decide = [];
    await ask("eth_requestAccounts");
    const bundle = { version: "2.0.0", id: "mine", chainId: "0x1", atomicRequired: false, calls: [{ to: B }] };
    const first = assert.rejects(ask("wallet_sendCalls", bundle), code(4001));
    await settle();
    await assert.rejects(ask("wallet_sendCalls", bundle), code(5720));
    decide[0]?.();
    await first;
    const again = ask("wallet_sendCalls", bundle);
    await settle();
    decide[1]?.();
    await assert.rejects(again, code(4001));
    assert.equal(asked.filter(([method]) => method === "evm.sendTransaction").length, 2);
  },
  {
    "evm.sendTransaction": () =>
      new Promise((_, refuse) => decide.push(() => refuse(new WalletError("declined", "the user declined")))),
  },
);

story("what is no request is a typed error as well", async ({ provider, asked }) => {
  for (const bad of [undefined, null, "eth_accounts", [], {}, { method: 1 }, { method: null }]) {
    await assert.rejects(provider.request(bad as never), code(-32602), JSON.stringify(bad));
  }
  assert.deepEqual(asked, []);
});

story(
  "a bundle stops at a call that reverts",
  async ({ ask, asked }) => {
    await ask("eth_requestAccounts");
    const calls = [{ to: B }, { to: B }];
    const { id } = (await ask("wallet_sendCalls", { version: "2.0.0", chainId: "0x1", calls })) as { id: string };
    assert.equal(asked.filter(([method]) => method === "evm.sendTransaction").length, 1);
    assert.equal(((await ask("wallet_getCallsStatus", id)) as { status: number }).status, 500);
  },
  { "evm.rpc": () => ({ status: "0x0", logs: [], transactionHash: HASH }) },
);

const OTHER = `0x${"34".repeat(32)}`;
let outcomes: (() => unknown)[] = [];
let mined: string[] = [];
story(
  "a call of a bundle that may have been sent is not said to be never sent",
  async ({ ask, stage, asked }) => {
    const sent = async (second: () => unknown) => {
      await ask("eth_requestAccounts");
      outcomes = [() => HASH, second];
      mined = [HASH];
      const bundle = { version: "2.0.0", chainId: "0x1", calls: [{ to: B }, { to: B }, { to: B }] };
      const { id } = (await ask("wallet_sendCalls", bundle)) as { id: string };
      assert.deepEqual(outcomes, [], "the third is not asked for");
      return async () => ((await ask("wallet_getCallsStatus", id)) as { status: number }).status;
    };
    const fails = (code: string, data?: string) => () => {
      throw new WalletError(code, "no", false, data);
    };
    for (const code of ["broadcast_refused", "outcome_unknown"]) {
      // By its hash, if the wallet tells that.
      const status = await sent(fails(code, OTHER));
      assert.equal(await status(), 100);
      mined.push(OTHER);
      assert.equal(await status(), 600);
      assert.equal(await (await sent(fails(code)))(), 100);
    }
    assert.equal(await (await sent(fails("internal_error")))(), 100);
    for (const code of ["declined", "funds_insufficient"]) assert.equal(await (await sent(fails(code)))(), 600);
    const status = await sent(() => {
      stage.leave("connection_lost");
      return new Promise(() => undefined);
    });
    assert.equal(await status(), 100);
    assert.ok(!asked.some(([, { params }]) => String(params).includes("00000000")), "no transaction has that hash");
  },
  {
    "evm.sendTransaction": () => outcomes.shift()?.(),
    "evm.rpc": ({ params }) => {
      const [hash] = params as string[];
      return mined.includes(String(hash)) ? { status: "0x1", logs: [], transactionHash: hash as string } : null;
    },
  },
);

story("a token is shown to the user under the name and place that the app gave", async ({ ask, asked, provider }) => {
  const params = { type: "ERC20", options: { address: B, symbol: "EGG", decimals: 18, image: "https://x/y.png" } };
  assert.equal(await provider.request({ method: "wallet_watchAsset", params }), true);
  assert.deepEqual(asked.at(-1), ["evm.watchToken", { network: CHAIN, address: B, symbol: "EGG", decimals: 18 }]);
  await assert.rejects(ask("wallet_watchAsset", { type: "ERC721", options: params.options }), code(-32602));
  await assert.rejects(
    ask("wallet_watchAsset", { ...params, options: { ...params.options, decimals: 37 } }),
    code(-32602),
  );
});

story("libraries find the provider among others, by EIP-6963", async ({ provider }) => {
  const found: { info: Record<string, string>; provider: unknown }[] = [];
  globalThis.addEventListener("eip6963:announceProvider", (event) => found.push((event as CustomEvent).detail));
  const stop = announce(provider, { name: "Shop", icon: "data:image/svg+xml,", rdns: "example.shop" });
  globalThis.dispatchEvent(new Event("eip6963:requestProvider"));
  assert.equal(found.length, 2);
  assert.equal(found[0]?.provider, provider);
  assert.deepEqual(Object.keys(found[0]?.info ?? {}), ["uuid", "name", "icon", "rdns"]);
  assert.equal(found[0]?.info.uuid, found[1]?.info.uuid);
  assert.ok(Object.isFrozen(found[0]) && Object.isFrozen(found[0]?.info));
  stop();
  globalThis.dispatchEvent(new Event("eip6963:requestProvider"));
  assert.equal(found.length, 2);
  const good = { name: "Shop", icon: "data:image/png;base64,AA==", rdns: "example.shop" } as const;
  const bad: object[] = [
    { icon: "https://cdn.example/icon.png" },
    { icon: "data:text/html,<script>" },
    { icon: undefined },
    { rdns: "shop" },
    { rdns: "https://shop.example" },
    { rdns: "example.shop." },
    { rdns: "example..shop" },
    { name: "" },
  ];
  for (const more of bad) {
    assert.throws(() => announce(provider, { ...good, ...more }), code(-32602), JSON.stringify(more));
  }
  announce(provider, good)();
  assert.match(found.at(-1)?.info.uuid ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
