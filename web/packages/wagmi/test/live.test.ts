/** wagmi's own actions over the connector, against the real system: enclave, server, EVM node. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { HeadlessWallet, type Page, page } from "@pinseal/headless";
import { System, withoutPrograms } from "@pinseal/testing";
import {
  type Config,
  connect,
  createConfig,
  createStorage,
  disconnect,
  getCapabilities,
  getConnection,
  reconnect,
  sendCalls,
  sendTransaction,
  signMessage,
  signTypedData,
  switchChain,
  waitForCallsStatus,
  waitForTransactionReceipt,
} from "@wagmi/core";
import { custom, type Hex, recoverMessageAddress, recoverTypedDataAddress, UserRejectedRequestError } from "viem";
import { anvil, mainnet } from "viem/chains";
import { pinseal } from "../src/index.js";

const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

let up: System;
let wallet: HeadlessWallet;
let stage: Page;
let config: Config;
const kept = new Map<string, string>();

/** The app's page as it loads: nothing is left of the one before but its storage and the wallet's. */
function load(needsClick = false): void {
  stage?.stop();
  stage = page(wallet.answer);
  stage.needsClick = needsClick;
  const node = {
    request: async ({ method, params }: { method: string; params?: unknown[] }) => await up.node(method, params ?? []),
  };
  const storage = createStorage({
    storage: {
      getItem: (name) => kept.get(name) ?? null,
      setItem: (name, value) => void kept.set(name, value),
      removeItem: (name) => void kept.delete(name),
    },
  });
  config = createConfig({
    chains: [mainnet, anvil],
    transports: { [mainnet.id]: custom(node), [anvil.id]: custom(node) },
    connectors: [pinseal(stage.options)],
    multiInjectedProviderDiscovery: false,
    pollingInterval: 100,
    storage,
  }) as Config;
}

test("wagmi against the real system", { skip: withoutPrograms }, async (t) => {
  before(async () => {
    up = await System.start({ node: true });
    wallet = new HeadlessWallet(up);
    load();
  });
  after(async () => {
    stage?.stop();
    await up?.stop();
  });
  const connector = () => {
    const [first] = config.connectors;
    assert.ok(first);
    return first;
  };
  let account: Hex;

  await t.test("an app that never connected reconnects to nothing, and opens nothing", async () => {
    assert.deepEqual(await reconnect(config), []);
    assert.equal(stage.opens, 0);
  });

  await t.test("a user who says no is a rejection, and nothing is connected", async () => {
    wallet.decide = async () => false;
    await assert.rejects(connect(config, { connector: connector(), chainId: anvil.id }), UserRejectedRequestError);
    assert.equal(getConnection(config).status, "disconnected");
    wallet.decide = async () => true;
  });

  await t.test("connect logs in, makes the wallet, and is on the chain that was asked for", async () => {
    const { accounts, chainId } = await connect(config, { connector: connector(), chainId: anvil.id });
    assert.equal(chainId, anvil.id);
    [account] = accounts as [Hex];
    const state = getConnection(config);
    assert.deepEqual([state.status, state.address, state.chainId], ["connected", account, anvil.id]);
  });

  await t.test("messages, typed data, transactions and bundles go through wagmi's actions", async () => {
    const signature = await signMessage(config, { message: "Grüße" });
    assert.equal(await recoverMessageAddress({ message: "Grüße", signature }), account);
    const data = {
      domain: { chainId: anvil.id },
      types: { Order: [{ name: "amount", type: "uint256" }] },
      primaryType: "Order",
      message: { amount: 2n ** 200n },
    } as const;
    assert.equal(await recoverTypedDataAddress({ ...data, signature: await signTypedData(config, data) }), account);
    await up.node("anvil_setBalance", [account, "0x8ac7230489e80000"]);
    const hash = await sendTransaction(config, { to: TO, value: 5n });
    assert.equal((await waitForTransactionReceipt(config, { hash })).status, "success");
    const capabilities = await getCapabilities(config, { chainId: anvil.id });
    assert.deepEqual(capabilities.atomic, { status: "unsupported" });
    const { id } = await sendCalls(config, {
      calls: [
        { to: TO, value: 1n },
        { to: TO, value: 2n },
      ],
    });
    assert.equal((await waitForCallsStatus(config, { id, pollingInterval: 100 })).status, "success");
  });

  await t.test("a reload reconnects to the same account on the same chain, without a person", async () => {
    load();
    await reconnect(config);
    const state = getConnection(config);
    assert.deepEqual([state.status, state.address, state.chainId], ["connected", account, anvil.id]);
    assert.ok(!stage.asked.includes("login"));
    assert.equal(
      await recoverMessageAddress({ message: "again", signature: await signMessage(config, { message: "again" }) }),
      account,
    );
  });

  await t.test("a reload with a wallet in a window of its own opens none until something is signed", async () => {
    load(true);
    await reconnect(config);
    assert.deepEqual(
      [getConnection(config).status, getConnection(config).address, stage.opens],
      ["connected", account, 0],
    );
    await signMessage(config, { message: "once" });
    assert.equal(stage.opens, 1);
    load();
    await reconnect(config);
  });

  await t.test("chains are switched, and one that nobody configured is refused", async () => {
    await switchChain(config, { chainId: mainnet.id });
    assert.equal(getConnection(config).chainId, mainnet.id);
    await switchChain(config, { chainId: anvil.id });
    await assert.rejects(switchChain(config, { chainId: 5 }), /chain/i);
    assert.equal(getConnection(config).chainId, anvil.id);
  });

  await t.test("a logout at the wallet disconnects, and a reload stays so", async () => {
    const gone = new Promise<void>((done) => {
      config.subscribe(
        ({ status }) => status,
        (status) => status === "disconnected" && done(),
      );
    });
    await wallet.client.login.logOut();
    stage.end?.tell("session", { status: "before_login" });
    await gone;
    load();
    await reconnect(config);
    assert.equal(getConnection(config).status, "disconnected");
  });

  await t.test("disconnect takes the consent back at the wallet, not only here", async () => {
    await connect(config, { connector: connector(), chainId: anvil.id });
    await disconnect(config);
    assert.equal(getConnection(config).status, "disconnected");
    assert.equal(stage.asked.at(-1), "revoke");
    assert.deepEqual(await connector().getAccounts(), []);
  });
});
