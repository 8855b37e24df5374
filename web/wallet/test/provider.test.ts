/** The packages for apps over the wallet page itself: widget, provider and wagmi connector in an app's page, in a frame and in a window. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import type { Page } from "playwright-core";
import { encodeErrorResult, type Hex, parseAbi, recoverMessageAddress, recoverTypedDataAddress } from "viem";
import { Browser, Person } from "./browser.js";
import { bundle, documentOf, inline, Site } from "./site.js";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse 1";
const PIN = "482915";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const HOST = "shop.localhost";
const TYPED = {
  domain: { name: "Shop", chainId: 31337 },
  types: { Order: [{ name: "amount", type: "uint256" }] },
  primaryType: "Order",
  message: { amount: 2n ** 200n },
} as const;

/** What the app's page does, by name; each gives what comes of it or the error's code. */
/** A contract for the test, and what it reverts with. */
const REVERTER = `0x${"7e".repeat(20)}`;
const REVERTED = encodeErrorResult({ abi: parseAbi(["error Error(string)"]), errorName: "Error", args: ["no eggs"] });
const SCRIPT = `
import { popup } from "@pinseal/core";
import { PinsealSDK } from "@pinseal/sdk";
import { pinseal } from "@pinseal/wagmi";
import * as wagmi from "@wagmi/core";
import { custom } from "viem";
import { anvil } from "viem/chains";

const query = new URLSearchParams(location.search);
const options = { appId: query.get("app"), wallet: query.get("wallet"), ...(query.has("popup") && { transport: popup }) };
const node = { request: ({ method, params }) => nodeCall(method, params ?? []) };
const config = wagmi.createConfig({
  chains: [anvil],
  connectors: [pinseal(options)],
  transports: { [anvil.id]: custom(node) },
  multiInjectedProviderDiscovery: false,
  pollingInterval: 200,
});
const sdk = new PinsealSDK(options);
const typed = { domain: { name: "Shop", chainId: 31337 }, types: { Order: [{ name: "amount", type: "uint256" }] }, primaryType: "Order", message: { amount: 2n ** 200n } };
const acts = {
  connect: () => wagmi.connect(config, { connector: config.connectors[0], chainId: anvil.id }),
  reconnect: async () => (await wagmi.reconnect(config)).length,
  state: async () => { const { status, address, chainId } = wagmi.getConnection(config); return { status, address, chainId }; },
  message: () => wagmi.signMessage(config, { message: "hello" }),
  typed: () => wagmi.signTypedData(config, typed),
  send: async () => {
    const hash = await wagmi.sendTransaction(config, { to: "${TO}", value: 5n });
    return (await wagmi.waitForTransactionReceipt(config, { hash })).status;
  },
  disconnect: () => wagmi.disconnect(config),
  init: async () => { await sdk.init(); return sdk.getStatus(); },
  login: async () => (await sdk.loginWithUI()).userStatus.loginStatus,
  accounts: () => sdk.getAccounts({ networks: ["eip155:31337"] }),
  block: async () => (await config.connectors[0].getProvider()).request({ method: "eth_blockNumber" }),
  revert: async () => {
    const provider = await config.connectors[0].getProvider();
    const call = { to: "${REVERTER}", data: "${REVERTED}" };
    return provider.request({ method: "eth_call", params: [call, "latest"] }).catch(({ code, message, data }) => ({ code, message, data }));
  },
  logout: async () => { await sdk.logout(); return sdk.getStatus(); },
};
const outcome = (act) => acts[act]().then((result) => ({ result }), (error) => ({ code: error.cause?.code ?? error.code, message: error.message }));
globalThis.ask = outcome;
document.querySelector("button").onclick = () => { globalThis.asked = outcome(document.querySelector("input").value); };
`;

let up: System;
let browser: Browser;
let site: Site;
let app: string;
let page: Page;
let account: Hex;

async function visit(more: Record<string, string> = {}): Promise<void> {
  page = await browser.context.newPage();
  page.setDefaultTimeout(15_000);
  await page.exposeFunction("nodeCall", (method: string, params: unknown[]) => up.node(method, params));
  await load(more);
}

async function load(more: Record<string, string> = {}): Promise<void> {
  await page.goto(`${site.origin(HOST)}/?${new URLSearchParams({ app, wallet: up.page, ...more })}`);
  await page.waitForFunction("globalThis.ask !== undefined");
}

interface Told {
  readonly result?: unknown;
  readonly code?: unknown;
  readonly message?: string;
}
const ask = (act: string): Promise<Told> => page.evaluate(`ask(${JSON.stringify(act)})`) as Promise<Told>;
async function result<T>(asked: Promise<Told>): Promise<T> {
  const { result, code, message } = await asked;
  assert.equal(message, undefined, `${code} ${message}`);
  return result as T;
}

const framed = (): Promise<Person> => Person.framed(page, up);

async function approve(ada: Person): Promise<void> {
  await ada.press("Approve with PIN");
  await ada.pin("Enter your PIN", PIN);
}

test("the packages for apps over the wallet page", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    const body = documentOf(`<input><button>Go</button>${inline(bundle(SCRIPT))}`);
    site = await Site.open(() => ({ type: "text/html", body }));
    [up, browser] = await Promise.all([
      System.start({ node: true, walletUrl: `http://wallet.${HOST}:0` }),
      Browser.open(),
    ]);
    app = up.createApp("Shop", "--origin", site.origin(HOST));
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), site?.close()]);
  });

  await step("wagmi's connect signs up, makes the wallet and asks for consent, in the frame", async () => {
    await visit();
    assert.equal(await result(ask("reconnect")), 0);
    const asked = ask("connect");
    const ada = await framed();
    await ada.signUp(EMAIL, PASSWORD);
    await ada.choosePin(PIN);
    await ada.press("Connect");
    const { accounts, chainId } = await result<{ accounts: Hex[]; chainId: number }>(asked);
    assert.ok(accounts[0]);
    account = accounts[0];
    assert.equal(chainId, 31337);
    await up.node("anvil_setBalance", [account, "0xde0b6b3a7640000"]);
  });

  await step(
    "wagmi's actions are approved in the frame: message, typed data, a transaction that is mined",
    async () => {
      const message = ask("message");
      await approve(await framed());
      const signature = await result<Hex>(message);
      assert.equal(await recoverMessageAddress({ message: "hello", signature }), account);
      const typed = ask("typed");
      await approve(await framed());
      assert.equal(await recoverTypedDataAddress({ ...TYPED, signature: await result<Hex>(typed) }), account);
      const sent = ask("send");
      await approve(await framed());
      assert.equal(await result(sent), "success");
      assert.match(await result<string>(ask("block")), /^0x[1-9a-f]/);
    },
  );

  await step("why a call reverts reaches the app, with what the contract returned", async () => {
    // Reverts with what it is called with.
    await up.node("anvil_setCode", [REVERTER, "0x365f5f37365ffd"]);
    const told = await result<{ code: number; message: string; data: Record<string, unknown> }>(ask("revert"));
    assert.deepEqual([told.code, told.data.code, told.data.data], [3, "node_refused", REVERTED]);
    assert.match(told.message, /no eggs|revert/i);
    // Chromium tells of every answer that is a refusal; the page itself is silent.
    assert.deepEqual(
      browser.complaints.splice(0).filter((said) => !/status of 422/.test(said)),
      [],
    );
  });

  await step("a user who says no is 4001 in wagmi", async () => {
    const asked = ask("message");
    await (await framed()).press("Reject");
    assert.equal((await asked).code, 4001);
  });

  await step("a reload reconnects without a person", async () => {
    await load();
    assert.equal(await result(ask("reconnect")), 1);
    assert.deepEqual(await result(ask("state")), { status: "connected", address: account, chainId: 31337 });
    assert.equal(await page.locator("iframe:visible").count(), 0);
  });

  await step("the widget finds the same user and account", async () => {
    assert.equal(await result(ask("init")), "login");
    assert.equal(await result(ask("login")), "complete");
    assert.deepEqual(await result(ask("accounts")), [{ address: account, network: "eip155:31337" }]);
  });

  await step("a window opens at a click, signs, and closes by itself when nothing more is asked", async () => {
    await load({ popup: "1" });
    assert.equal(await result(ask("reconnect")), 1);
    assert.equal((await ask("block")).code, "not_open");
    await page.locator("input").fill("message");
    const [popup] = await Promise.all([page.waitForEvent("popup"), page.getByRole("button", { name: "Go" }).click()]);
    popup.setDefaultTimeout(15_000);
    await approve(new Person(popup, up));
    const signature = await result<Hex>(page.evaluate("asked") as Promise<Told>);
    assert.equal(await recoverMessageAddress({ message: "hello", signature }), account);
    if (!popup.isClosed()) await popup.waitForEvent("close");
  });

  await step("disconnect takes the consent back, and logout ends the session", async () => {
    await load();
    assert.equal(await result(ask("reconnect")), 1);
    await result(ask("disconnect"));
    assert.equal(await result(ask("init")), "login_before_register");
    const asked = ask("login");
    await (await framed()).press("Connect");
    assert.equal(await result(asked), "complete");
    assert.equal(await result(ask("logout")), "before_login");
    assert.deepEqual(browser.complaints, []);
  });
});
