/**
 * A host that would have a payment made twice. It says that it did not send one, offers the same again under the next nonce, and carries out
 * both: the page asks its owner to look first. And an honest one, at which nobody is asked anything.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { Browser, type Json, type Person } from "./browser.js";
import { type AppPage, Shop } from "./shop.js";

const EMAIL = "grace@example.org";
const PASSWORD = "correct horse 5";
const PIN = "482915";
const NETWORK = "eip155:31337";
const HOST = "shop.localhost";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const TITLE = "An earlier transaction may still be carried out";
const LOOKED = "I have looked: it was not carried out";
const DONE = "An earlier transaction was carried out after all";
const MADE = "You made this transaction already";
const AS_WELL = "I have looked: send this one as well";

let up: System;
let browser: Browser;
let shop: Shop;
let grace: Person;
let app: AppPage;
let address: string;

const refusal = (status: number, code: string): Json => ({ status, code, title: code, retryable: false });

/** Somebody in front of the review, or of what comes in its place. */
async function prepare(amount: string): Promise<void> {
  await grace.tab("Home");
  await grace.press("Send");
  await grace.fill("To", TO);
  await grace.fill("Amount", amount);
  await grace.press("Review");
}

/** What the account has, and the page knows of. */
async function hold(balance: unknown): Promise<void> {
  await up.node("anvil_setBalance", [address, balance]);
  await grace.page.reload();
  await grace.tab("Home");
  await grace.page.locator("[data-balance]", { hasText: /^[1-9][\d.]* ETH/ }).waitFor();
}

async function approve(person = grace): Promise<void> {
  await person.press("Approve with PIN");
  await person.pin("Enter your PIN", PIN);
}

/** Transactions of the account that the chain has. */
async function sent(): Promise<number> {
  return Number(await up.node("eth_getTransactionCount", [address, "pending"]));
}

/** What the host says it refused. */
const denied = new Set<unknown>();

/** Sends it all the same. */
function refuse(): Promise<() => Promise<void>> {
  return browser.lie(up, "/v1/tx/broadcast", ({ hash }) => {
    denied.add(hash);
    return refusal(422, "transaction_rejected");
  });
}

/** Says of what is sent, and of all that was refused, that there is no such thing, until what comes back is called. */
async function deny(): Promise<() => Promise<void>> {
  const lies = await Promise.all([
    refuse(),
    browser.lie(up, "/v1/tx", ({ items, ...page }) => ({
      ...page,
      items: (items as Json[]).filter(({ hash }) => !denied.has(hash)),
    })),
    browser.lie(up, `/v1/tx/${NETWORK}/`, () => refusal(404, "transaction_unknown")),
  ]);
  return async () => {
    for (const honest of lies) await honest();
    denied.clear();
  };
}

/** The nonce that is named, until what comes back is called. */
function nonce(named: number): Promise<() => Promise<void>> {
  return browser.lie(up, "/v1/tx/prepare", (answer) => ({ ...answer, nonce: named }));
}

test("a payment that a host says it refused", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    [up, browser, shop] = await Promise.all([
      System.start({ node: true, walletUrl: `http://wallet.${HOST}:0` }),
      Browser.open(),
      Shop.open(),
    ]);
    grace = await browser.visit(up);
    await grace.signUp(EMAIL, PASSWORD);
    await grace.create(PIN);
    address = await grace.address();
    await hold(`0x${(10n ** 19n).toString(16)}`);
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), shop?.close()]);
  });

  await step("and offers again under the next nonce is not signed again before its owner has looked", async () => {
    const honest = await deny();
    await prepare("0.1");
    await approve();
    await grace.heading("Signed, and perhaps not sent");
    // It was sent all the same.
    assert.equal(await sent(), 1);
    await grace.press("Close");
    await prepare("0.1");
    await grace.heading(TITLE);
    const shown = (await grace.root.locator("[data-earlier]").textContent()) ?? "";
    assert.match(shown, /Send 0\.1 ETH.*eip155:31337.*Not sent, or not known.*0x[0-9a-f]{64}/);
    const [to, from] = await grace.root.locator("[data-earlier] [data-address]").all();
    assert.deepEqual([await to?.getAttribute("data-address"), await from?.getAttribute("data-address")], [TO, address]);
    await grace.press("Cancel");
    await grace.button("Review").waitFor();
    assert.equal(await grace.root.getByText(/Code:/).count(), 0);
    // Whoever goes somewhere else has not looked.
    await prepare("0.1");
    await grace.heading(TITLE);
    await grace.tab("Activity");
    await grace.heading("Activity");
    await prepare("0.1");
    await grace.heading(TITLE);
    await grace.press(LOOKED);
    await grace.heading("Review");
    await grace.press("Reject");
    // Whoever turns it down has accepted nothing.
    await prepare("0.1");
    await grace.heading(TITLE);
    await grace.press(LOOKED);
    await grace.heading("Review");
    assert.equal(await sent(), 1);
    // Acceptance is of what was not sent, and it was.
    await honest();
    await approve();
    await grace.heading(DONE);
    await grace.done();
    await grace.press(AS_WELL);
    await grace.heading("Review");
    await approve();
    await grace.mined();
    await grace.press("Done");
    // Once it is sent nobody is asked again.
    await prepare("0.1");
    await grace.sees(/^The same was carried out before: 0\.1 ETH to 0x7099/);
    assert.equal(await grace.root.locator("[data-earlier]").count(), 0);
    await grace.press("Reject");
    assert.equal(await sent(), 2);
  });

  await step("and then names another nonce than was shown gets no signature", async () => {
    const refused = await refuse();
    const first = await sent();
    await up.node("evm_setAutomine", [false]);
    await prepare("0.2");
    await approve();
    await grace.heading("Signed, and perhaps not sent");
    await grace.press("Close");
    await refused();
    const unlisted = await deny();
    const same = await nonce(first);
    await prepare("0.2");
    await grace.sees(/Takes the place of 0\.2 ETH to 0x7099.*not confirmed as sent\. Only one of the two/);
    await same();
    const next = await nonce(first + 1);
    await approve();
    await grace.heading(TITLE);
    await grace.done();
    await grace.sees("The new one was to take its place, and does not any more.");
    await grace.press("Cancel");
    await grace.button("Review").waitFor();
    await next();
    // The same again, and somebody looks: it is shown once more, and nothing is taken for approved.
    const again = await nonce(first);
    await prepare("0.2");
    await grace.heading("Review");
    await again();
    const other = await nonce(first + 1);
    await approve();
    await grace.heading(TITLE);
    await grace.press(LOOKED);
    await grace.heading("Review");
    assert.equal(await grace.root.locator("[data-earlier]").count(), 0);
    await other();
    await unlisted();
    // It waits by now, which its owner has not accepted.
    await approve();
    await grace.heading(TITLE);
    await grace.sees(/^It waits\./);
    await grace.press(AS_WELL);
    await grace.heading("Review");
    await approve();
    await grace.sees("It waits for a block. You can leave this screen.");
    assert.equal(await sent(), first + 2);
    await up.node("anvil_mine", []);
    await up.node("evm_setAutomine", [true]);
    await grace.mined();
    await grace.press("Done");
    await grace.tab("Devices");
    await grace.sees("5 tries are left on this device.");
  });

  await step("and that was carried out after all is told of before anything else is signed", async () => {
    const honest = await deny();
    const before = await sent();
    await prepare("0.25");
    await approve();
    await grace.heading("Signed, and perhaps not sent");
    await grace.press("Close");
    await honest();
    await grace.told("0.25");
    await prepare("0.35");
    await grace.heading(DONE);
    await grace.sees("Send 0.25 ETH");
    await grace.press("Cancel");
    await grace.button("Review").waitFor();
    await prepare("0.35");
    await grace.press(AS_WELL);
    await grace.heading("Review");
    assert.equal(await sent(), before + 1);
    await approve();
    await grace.mined();
    await grace.press("Done");
    await prepare("0.25");
    await grace.heading("Review");
    await grace.press("Reject");
  });

  await step("honestly gives its nonce to the next one, which says so", async () => {
    const before = await sent();
    await prepare("0.3");
    await grace.heading("Review");
    const rich = await up.node("eth_getBalance", [address, "latest"]);
    // Between nonce and sending somebody has emptied the account.
    const empty = await browser.lie(up, "/v1/tx/prepare", async (answer) => {
      await up.node("anvil_setBalance", [address, "0x1"]);
      return answer;
    });
    await approve();
    await grace.heading("Signed, and perhaps not sent");
    await grace.press("Close");
    await empty();
    await hold(rich);
    await prepare("0.3");
    await grace.sees(/Takes the place of 0\.3 ETH/);
    await approve();
    await grace.mined();
    await grace.press("Done");
    assert.equal(await sent(), before + 1);
  });

  await step("waits, and the next one says that it comes on top of it", async () => {
    const before = await sent();
    await up.node("evm_setAutomine", [false]);
    await prepare("0.4");
    await approve();
    await grace.sees("It waits for a block. You can leave this screen.");
    await grace.press("Done");
    await prepare("0.4");
    await grace.sees(/The same is still on its way: 0\.4 ETH to 0x7099.*This comes on top of it\./);
    await grace.press("Reject");
    await prepare("0.5");
    await grace.sees(/^Still on its way: 0\.4 ETH to 0x7099.*This comes on top of it\./);
    await up.node("anvil_mine", []);
    await up.node("evm_setAutomine", [true]);
    await approve();
    await grace.mined();
    await grace.press("Done");
    assert.equal(await sent(), before + 2);
  });

  await step("was carried out when its owner had left is told of before it is made again, and only then", async () => {
    const before = await sent();
    await prepare("0.4");
    await grace.heading(MADE);
    await grace.sees("Send 0.4 ETH");
    await grace.press("Cancel");
    await grace.button("Review").waitFor();
    await prepare("0.6");
    await grace.heading("Review");
    await grace.press("Reject");
    await prepare("0.4");
    await grace.heading(MADE);
    await grace.press(AS_WELL);
    await grace.heading("Review");
    await approve();
    await grace.mined();
    await grace.press("Done");
    await prepare("0.4");
    await grace.heading("Review");
    await grace.press("Reject");
    assert.equal(await sent(), before + 1);
  });

  await step("is sent by another tab between nonce and signature is told of before anything is sent", async () => {
    const before = await sent();
    const there = await browser.visit(up);
    await there.button("Send").waitFor();
    // The other tab signs and sends while this one waits for its signature.
    await prepare("0.7");
    await grace.heading("Review");
    let isDue = false;
    const taken = await browser.lie(up, "/v1/tx/prepare", (answer) => {
      isDue ||= "reservation_id" in answer;
      return answer;
    });
    const between = await browser.lie(up, "/v1/wallet/sealed", async (answer) => {
      if (!isDue) return answer;
      isDue = false;
      await taken();
      await there.press("Send");
      await there.fill("To", TO);
      await there.fill("Amount", "0.7");
      await there.press("Review");
      await approve(there);
      await there.heading("Sent");
      return answer;
    });
    await approve();
    await grace.heading(TITLE);
    await grace.done();
    await between();
    await there.page.close();
    assert.equal(await sent(), before);
    await grace.press(AS_WELL);
    await grace.heading("Review");
    await approve();
    await grace.mined();
    await grace.press("Done");
    assert.equal(await sent(), before + 2);
  });

  await step("is on its way from another account of the wallet is told of, too", async () => {
    const choose = (index: number) => grace.page.getByLabel("Account").selectOption({ index });
    await up.node("evm_setAutomine", [false]);
    await prepare("0.8");
    await approve();
    await grace.sees("It waits for a block. You can leave this screen.");
    await grace.press("Done");
    await grace.press("Add an account");
    await choose(1);
    const second = await grace.address();
    await up.node("anvil_setBalance", [second, `0x${(10n ** 19n).toString(16)}`]);
    await grace.page.reload();
    await choose(1);
    await grace.page.locator("[data-balance]", { hasText: "10 ETH" }).waitFor();
    await prepare("0.9");
    await grace.heading("Review");
    assert.equal(await grace.root.locator("[data-earlier]").count(), 0);
    await grace.press("Reject");
    await prepare("0.8");
    const from = `${address.slice(0, 6)}.+${address.slice(-4)}`;
    await grace.sees(new RegExp(`The same is still on its way from ${from} on Local development chain: 0\\.8 ETH`));
    await grace.press("Reject");
    await up.node("anvil_mine", []);
    await up.node("evm_setAutomine", [true]);
    await grace.tab("Home");
    await choose(0);
    // A list may have been read, or not.
    await grace.told("0.8");
    await grace.tab("Home");
    await choose(1);
    await prepare("0.8");
    await grace.heading(MADE);
    const [, entry] = await grace.root.locator("[data-earlier] [data-address]").all();
    assert.equal(await entry?.getAttribute("data-address"), address);
    await grace.press("Cancel");
    await grace.tab("Home");
    await choose(0);
  });

  await step("is asked about where an app asks for another one, too; whoever cancels declines that", async () => {
    const origin = shop.origin(HOST);
    app = await shop.visit(browser, HOST, {
      app: up.createApp("Shop", "--origin", origin),
      wallet: up.page,
      way: "frame",
    });
    const login = app.ask("login");
    const there = await app.framed(up);
    await there.press("Connect");
    await login;
    const honest = await deny();
    const transaction = { from: address, to: TO, value: "0x1" };
    const refused = app.ask("evm.sendTransaction", { network: NETWORK, transaction });
    await approve(there);
    await there.heading("Signed, and perhaps not sent");
    await there.press("Close");
    assert.equal((await refused).code, "broadcast_refused", "no word of the host's");
    const before = await sent();
    const asked = (method: string, params: object) => app.ask(method, { network: NETWORK, ...params });
    const declined = async (told: Promise<{ code?: string }>) => {
      await there.heading(TITLE);
      await there.sees("Shop asks");
      await there.press("Cancel");
      assert.equal((await told).code, "declined");
      await app.page.locator("iframe").waitFor({ state: "hidden" });
    };
    await declined(asked("evm.sendTransaction", { transaction }));
    // As the next one, with its nonce named.
    await declined(
      asked("evm.sendTransaction", { transaction: { ...transaction, nonce: `0x${before.toString(16)}` } }),
    );
    await declined(app.ask("send", { account: { network: NETWORK, address }, to: TO, amount: "0.1" }));
    const form = app.ask("send", { account: { network: NETWORK, address }, to: TO });
    await there.fill("Amount", "0.1");
    await there.press("Review");
    await there.heading(TITLE);
    await there.press("Cancel");
    assert.equal((await form).code, "declined");
    // Taken back by the app, or closed by the user: it is gone.
    const closed = asked("evm.sendTransaction", { transaction });
    await there.heading(TITLE);
    await there.press("Close the wallet");
    assert.equal((await closed).code, "closed_by_user");
    const looked = asked("evm.sendTransaction", { transaction });
    await there.heading(TITLE);
    await there.press(LOOKED);
    await there.heading("Review");
    assert.equal(await sent(), before);
    await honest();
    await approve(there);
    await there.heading(DONE);
    await there.sees("Shop asks");
    await there.press(AS_WELL);
    await there.heading("Review");
    await approve(there);
    assert.match(String((await looked).result), /^0x[0-9a-f]{64}$/);
    assert.equal(await sent(), before + 1);
  });
});
