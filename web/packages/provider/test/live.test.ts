/** viem's own actions over the provider, against the real system: enclave, server, EVM node. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Bridge } from "@pinseal/core";
import { HeadlessWallet, type Page, page } from "@pinseal/headless";
import { System, withoutPrograms } from "@pinseal/testing";
import {
  BaseError,
  createPublicClient,
  createWalletClient,
  custom,
  encodeErrorResult,
  type Hex,
  parseAbi,
  parseEther,
  recoverMessageAddress,
  recoverTransactionAddress,
  recoverTypedDataAddress,
  UserRejectedRequestError,
} from "viem";
import { anvil } from "viem/chains";
import { getProvider, type PinsealProvider } from "../src/index.js";

const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/** Reverts with whatever it is called with. */
const ECHO_REVERT = "0x600a600c600039600a6000f336600060003736 6000fd".replace(" ", "") as Hex;

const isRejection = (error: unknown): boolean =>
  error instanceof BaseError && error.walk((each) => each instanceof UserRejectedRequestError) !== null;

let up: System;
let wallet: HeadlessWallet;
let stage: Page;
let bridge: Bridge;
let provider: PinsealProvider;

test("viem against the real system", { skip: withoutPrograms }, async (t) => {
  before(async () => {
    up = await System.start({ node: true });
    wallet = new HeadlessWallet(up);
    stage = page(wallet.answer);
    bridge = new Bridge(stage.options);
    provider = getProvider(bridge, "eip155:31337");
  });
  after(async () => {
    stage?.stop(bridge);
    await up?.stop();
  });

  const clients = () => {
    const transport = custom(provider);
    const client = createWalletClient({ chain: anvil, transport });
    return { client, reader: createPublicClient({ chain: anvil, transport, pollingInterval: 100 }) };
  };
  let account: Hex;
  const events: [string, unknown][] = [];

  await t.test(
    "no account is told before the user has let the app in; then login, PIN and accounts are one call",
    async () => {
      for (const name of ["connect", "disconnect", "accountsChanged", "chainChanged"] as const) {
        provider.on(name, (data) => events.push([name, data]));
      }
      const { client } = clients();
      assert.deepEqual(await client.getAddresses(), []);
      assert.deepEqual(await client.getPermissions(), []);
      await assert.rejects(client.signMessage({ account: TO, message: "no" }), /account/);
      const [first] = await client.requestAddresses();
      assert.ok(first);
      account = first;
      assert.deepEqual(await client.getAddresses(), [account]);
      assert.deepEqual(events, [
        ["connect", { chainId: "0x7a69" }],
        ["accountsChanged", [account]],
      ]);
      const [permission] = await client.getPermissions();
      assert.equal(permission?.parentCapability, "eth_accounts");
      assert.equal(stage.opens, 1);
    },
  );

  await t.test("messages and typed data are signed by that account, texts and bytes alike", async () => {
    const { client } = clients();
    for (const message of ["Grüße", { raw: "0x00ff10" }, "0xzz"] as const) {
      const signature = await client.signMessage({ account, message });
      assert.equal(await recoverMessageAddress({ message, signature }), account);
    }
    const data = {
      domain: { name: "Shop", chainId: 31337n },
      types: {
        Order: [
          { name: "amount", type: "uint256" },
          { name: "text", type: "string" },
        ],
      },
      primaryType: "Order",
      message: { amount: 2n ** 255n + 1n, text: "Grüße" },
    } as const;
    const signature = await client.signTypedData({ account, ...data });
    assert.equal(await recoverTypedDataAddress({ ...data, signature }), account);
  });

  await t.test("a transaction is mined with every field that the app chose", async () => {
    const { client, reader } = clients();
    await up.node("anvil_setBalance", [account, "0x8ac7230489e80000"]);
    const chosen = { nonce: 0, gas: 50_001n, maxFeePerGas: 7_000_000_001n, maxPriorityFeePerGas: 1_000_000_003n };
    const hash = await client.sendTransaction({ account, to: TO, value: parseEther("0.25"), ...chosen });
    const receipt = await reader.waitForTransactionReceipt({ hash });
    assert.equal(receipt.status, "success");
    const mined = await reader.getTransaction({ hash });
    const { nonce, gas, maxFeePerGas, maxPriorityFeePerGas } = mined;
    assert.deepEqual({ nonce, gas, maxFeePerGas, maxPriorityFeePerGas }, chosen);
    assert.equal(mined.value, parseEther("0.25"));
    const legacy = await client.sendTransaction({ account, to: TO, gasPrice: 9_000_000_000n, data: "0x1234" });
    await reader.waitForTransactionReceipt({ hash: legacy });
    const old = await reader.getTransaction({ hash: legacy });
    assert.deepEqual([old.type, old.gasPrice, old.input], ["legacy", 9_000_000_000n, "0x1234"]);
  });

  await t.test("a transaction that is only signed is the one that was asked for", async () => {
    const { client } = clients();
    const serializedTransaction = await provider.request({
      method: "eth_signTransaction",
      params: [
        {
          from: account,
          to: TO,
          value: "0x1",
          nonce: "0x9",
          gas: "0x5208",
          maxFeePerGas: "0x2",
          maxPriorityFeePerGas: "0x1",
        },
      ],
    });
    assert.equal(
      await recoverTransactionAddress({ serializedTransaction: serializedTransaction as `0x02${string}` }),
      account,
    );
    assert.equal(await client.getChainId(), 31337);
  });

  await t.test("a contract is deployed, and why its call reverts is read through the wallet", async () => {
    const { client, reader } = clients();
    const hash = await client.deployContract({ account, abi: [], bytecode: ECHO_REVERT });
    const { contractAddress } = await reader.waitForTransactionReceipt({ hash });
    assert.ok(contractAddress);
    const data = encodeErrorResult({ abi: parseAbi(["error Error(string)"]), errorName: "Error", args: ["no eggs"] });
    await assert.rejects(
      provider.request({ method: "eth_call", params: [{ to: contractAddress, data }, "latest"] }),
      (error: { code: number; data: { data: string } }) => error.code === 3 && error.data.data === data,
    );
    await assert.rejects(reader.call({ to: contractAddress, data }), /no eggs|revert/i);
  });

  await t.test("calls go out in order, and their status tells what became of them", async () => {
    const { client } = clients();
    const capabilities = await client.getCapabilities({ account, chainId: 31337 });
    assert.deepEqual(capabilities, { atomic: { status: "unsupported" } });
    const { id } = await client.sendCalls({
      account,
      calls: [
        { to: TO, value: 1n },
        { to: TO, data: "0x12" },
      ],
    });
    const done = await client.waitForCallsStatus({ id, pollingInterval: 100 });
    assert.deepEqual([done.status, done.atomic, done.receipts?.length], ["success", false, 2]);
    // The id means the same to a page that was loaded anew.
    const anew = createWalletClient({ chain: anvil, transport: custom(getProvider(bridge, "eip155:31337")) });
    assert.equal((await anew.getCallsStatus({ id })).statusCode, 200);
  });

  await t.test(
    "the second call of a bundle that the user declines leaves the first, and the status says so",
    async () => {
      const { client } = clients();
      let asked = 0;
      wallet.decide = async () => ++asked === 1;
      const calls = [
        { to: TO, value: 1n },
        { to: TO, value: 2n },
      ] as const;
      const { id } = await client.sendCalls({ account, calls });
      const done = await client.waitForCallsStatus({ id, pollingInterval: 100 });
      assert.deepEqual([done.statusCode, done.receipts?.length], [600, 1]);
      wallet.decide = async () => false;
      await assert.rejects(client.sendCalls({ account, calls }), isRejection);
      wallet.decide = async () => true;
    },
  );

  await t.test("a user who says no, or closes the wallet at any point, is 4001 in viem's words", async () => {
    const { client } = clients();
    const acts = [
      () => client.signMessage({ account, message: "no" }),
      () => client.sendTransaction({ account, to: TO, value: 1n }),
      () => client.requestAddresses(),
    ];
    wallet.decide = async () => false;
    for (const act of acts) await assert.rejects(act(), isRejection);
    wallet.decide = async () => {
      stage.end?.closedByUser();
      return new Promise(() => undefined);
    };
    for (const act of acts) await assert.rejects(act(), isRejection);
    wallet.decide = async () => true;
    assert.deepEqual(await client.getAddresses(), [account]);
  });

  await t.test("networks are the wallet's: a known one is switched to, another is 4902", async () => {
    const { client } = clients();
    await client.switchChain({ id: 31337 });
    await assert.rejects(client.switchChain({ id: 5 }), (error: { code: number }) => error.code === 4902);
    const unknown = {
      id: 5,
      name: "x",
      nativeCurrency: anvil.nativeCurrency,
      rpcUrls: { default: { http: ["https://x"] } },
    };
    await assert.rejects(client.addChain({ chain: unknown }), (error: { code: number }) => error.code === 4200);
    assert.equal(await client.getChainId(), 31337);
  });

  await t.test("what the user takes back is gone, and what they gave again is there again", async () => {
    const { client } = clients();
    events.length = 0;
    await provider.request({ method: "wallet_revokePermissions", params: [{ eth_accounts: {} }] });
    assert.deepEqual(await client.getAddresses(), []);
    await assert.rejects(client.signMessage({ account, message: "no" }), (error: Error) =>
      /4100|authorized|account/i.test(error.message),
    );
    await client.requestPermissions({ eth_accounts: {} });
    assert.deepEqual(await client.getAddresses(), [account]);
    await wallet.client.login.logOut();
    stage.end?.tell("session", { status: "before_login" });
    assert.deepEqual(await client.getAddresses(), []);
    assert.deepEqual(events, [
      ["accountsChanged", []],
      ["accountsChanged", [account]],
      ["accountsChanged", []],
    ]);
  });
});
