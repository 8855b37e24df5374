/** What the page says of a transaction that a host has, or may have: to an app that asked for it, and to its owner. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { Browser, type Json, Person } from "./browser.js";
import { type AppPage, Shop, type Told } from "./shop.js";

const EMAIL = "hedwig@example.org";
const PASSWORD = "correct horse 6";
const PIN = "482915";
const NETWORK = "eip155:31337";
const HOST = "shop.localhost";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const BROADCAST = "/v1/tx/broadcast";
const RELEASE = "/v1/tx/release";
const PERHAPS = "Signed, and perhaps not sent";
/** Milliseconds for what hangs on several tries to hand over, beside everything else that is tested at once. */
const PATIENCE = 60_000;
const WAITS = "It waits for a block. You can leave this screen.";

let up: System;
let browser: Browser;
let shop: Shop;
let own: Person;
let app: AppPage;
let window: AppPage;
let address: string;
/** Paths of the API that were asked. */
const asked: string[] = [];

const refusal = (): Json => ({ status: 422, code: "transaction_rejected", title: "no", retryable: false });

/** An app's wish, each time another one. */
let wei = 0;
function wish(): { network: string; transaction: object } {
  wei += 1;
  return { network: NETWORK, transaction: { from: address, to: TO, value: `0x${wei.toString(16)}` } };
}

async function approve(person: Person): Promise<void> {
  await person.press("Approve with PIN");
  await person.pin("Enter your PIN", PIN);
}

async function prepare(amount: string): Promise<void> {
  await own.tab("Home");
  await own.press("Send");
  await own.fill("To", TO);
  await own.fill("Amount", amount);
  await own.press("Review");
}

/** No answer to this path. */
async function silence(path: string): Promise<() => Promise<void>> {
  const url = `${up.ready.server}${path}`;
  await browser.context.route(url, (route) => route.abort());
  return () => browser.context.unroute(url);
}

/** Somebody in the window that the app opens for this. */
async function opened(method: string, params: object): Promise<{ there: Person; told: Promise<Told> }> {
  const opening = browser.context.waitForEvent("page");
  const { told } = await window.click(method, params);
  const page = await opening;
  page.setDefaultTimeout(PATIENCE);
  return { there: new Person(page, up), told };
}

test("a transaction that was handed over", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    [up, browser, shop] = await Promise.all([
      System.start({ node: true, walletUrl: `http://wallet.${HOST}:0` }),
      Browser.open(),
      Shop.open(),
    ]);
    own = await browser.visit(up);
    await own.signUp(EMAIL, PASSWORD);
    await own.create(PIN);
    address = await own.address();
    await up.node("anvil_setBalance", [address, `0x${(10n ** 20n).toString(16)}`]);
    await own.page.reload();
    await own.page.locator("[data-balance]", { hasText: "100 ETH" }).waitFor();
    const id = up.createApp("Shop", "--origin", shop.origin(HOST));
    app = await shop.visit(browser, HOST, { app: id, wallet: up.page, way: "frame" });
    window = await shop.visit(browser, HOST, { app: id, wallet: up.page, way: "popup" });
    const login = app.ask("login");
    await (await app.framed(up)).press("Connect");
    await login;
    for (const { page } of [own, app, window]) page.setDefaultTimeout(PATIENCE);
    browser.context.on("request", (request) => asked.push(new URL(request.url()).pathname));
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), shop?.close()]);
  });

  await step("is none that its owner declined, where they close the wallet over it", async () => {
    const honest = await browser.lie(up, BROADCAST, refusal);
    const told = app.ask("evm.sendTransaction", wish());
    const queued = app.ask("evm.sendTransaction", wish());
    const there = await app.framed(up);
    await approve(there);
    await there.heading(PERHAPS);
    await there.press("Close the wallet");
    assert.deepEqual([(await told).code, (await queued).code], ["broadcast_refused", "closed_by_user"]);
    await app.page.locator("iframe").waitFor({ state: "hidden" });
    await honest();
  });

  await step("is none that was taken back, where the app closes the wallet over it", async () => {
    const answer = await browser.late(up, BROADCAST);
    const told = app.ask("evm.sendTransaction", wish());
    const there = await app.framed(up);
    await there.review();
    await approve(there);
    await there.heading("Sending");
    assert.equal(await app.result("close"), "done");
    assert.equal((await told).code, "outcome_unknown");
    await answer();
    await there.mined();
    await there.press("Done");
  });

  await step("is none that its owner declined, where they close the wallet while it is handed over", async () => {
    const answer = await browser.late(up, BROADCAST);
    const told = app.ask("evm.sendTransaction", wish());
    const there = await app.framed(up);
    await there.review();
    await approve(there);
    await there.heading("Sending");
    await there.press("Close the wallet");
    assert.equal((await told).code, "outcome_unknown");
    await app.page.locator("iframe").waitFor({ state: "hidden" });
    await answer();
  });

  await step("is not told as declined by a window that closes over it", async () => {
    const declined = await opened("evm.sendTransaction", wish());
    await declined.there.review();
    await declined.there.page.close();
    assert.equal((await declined.told).code, "closed_by_user");
    const answer = await browser.late(up, BROADCAST);
    const sending = await opened("evm.sendTransaction", wish());
    await sending.there.review();
    await approve(sending.there);
    await sending.there.heading("Sending");
    await sending.there.page.close();
    assert.equal((await sending.told).code, "outcome_unknown");
    await answer();
    const refused = await browser.lie(up, BROADCAST, refusal);
    const unsent = await opened("evm.sendTransaction", wish());
    await unsent.there.review();
    await approve(unsent.there);
    await unsent.there.heading(PERHAPS);
    await unsent.there.page.close();
    assert.equal((await unsent.told).code, "broadcast_refused");
    await refused();
  });

  await step("and not answered keeps its nonce, whatever is said when it is sent again", async () => {
    const quiet = await silence(BROADCAST);
    await prepare("0.1");
    await own.review();
    await approve(own);
    // It is sent again and looked for before.
    await own.root.getByRole("heading", { name: PERHAPS }).waitFor({ timeout: 30_000 });
    await own.sees(/outcome_unknown/);
    await quiet();
    // Nor does what fails in this browser take back that it may be sent.
    await own.page.evaluate(`{
      const { get } = IDBObjectStore.prototype;
      globalThis.mend = () => { IDBObjectStore.prototype.get = get; };
      IDBObjectStore.prototype.get = () => { document.body.dataset.gone = ""; throw new Error("gone"); };
    }`);
    await own.press("Send again");
    await own.page.locator("body[data-gone]").waitFor();
    await own.heading(PERHAPS);
    await own.sees(/It may be sent all the same/);
    await own.sees(/outcome_unknown/);
    await own.page.evaluate("mend()");
    const refused = await browser.lie(up, BROADCAST, refusal);
    asked.length = 0;
    await own.press("Send again");
    await own.heading("Sending");
    await own.heading(PERHAPS);
    await own.sees(/outcome_unknown/);
    await own.press("Close");
    await own.button("Review").waitFor();
    assert.deepEqual([asked.includes(BROADCAST), asked.includes(RELEASE)], [true, false]);
    // A refusal that is the first answer frees it.
    await prepare("0.1");
    await own.review();
    await approve(own);
    await own.heading(PERHAPS);
    await own.sees(/broadcast_refused/);
    const released = own.page.waitForRequest((request) => request.url().endsWith(RELEASE));
    await own.press("Close");
    await released;
    await refused();
  });

  await step("and is said to be gone while nobody looks is asked about before anything else is paid", async () => {
    await up.node("evm_setAutomine", [false]);
    await prepare("0.2");
    await own.review();
    await approve(own);
    await own.sees(WAITS);
    await own.page.evaluate(
      `Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true })`,
    );
    const gone = await browser.lie(up, `/v1/tx/${NETWORK}/`, (answer) => ({ ...answer, status: "dropped" }));
    await own.sees(/will not be carried out/);
    await gone();
    await own.page.evaluate("delete document.visibilityState");
    await own.press("Done");
    await prepare("0.3");
    await own.heading("An earlier transaction may still be carried out");
    await own.sees("Send 0.2 ETH");
    await own.press("Cancel");
  });

  await step("and that the service does not list is shown as what this device signed", async () => {
    const empty = await browser.lie(up, "/v1/tx", (page) => ({ ...page, items: [] }));
    await own.page.reload();
    await own.tab("Activity");
    await own.sees("The service lists nothing.");
    await own.sees("Signed on this device, and not listed by the service:");
    const newest = own.root.locator("[data-unlisted]").first();
    assert.match((await newest.textContent()) ?? "", /0\.2 ETH to 0x7099/);
    await empty();
  });

  await step("and others that were not are asked about in one question, each in its own words", async () => {
    await prepare("0.4");
    await own.button("I have looked: send this one as well").waitFor();
    await own.review();
    await approve(own);
    await own.sees(WAITS);
    await own.press("Done");
    const say = (statuses: Record<string, string>) =>
      browser.lie(up, "/v1/tx", ({ items, ...page }) => ({
        ...page,
        items: (items as Json[]).map((item) => {
          return { ...item, status: statuses[String(item.value)] ?? item.status, waits_for: undefined };
        }),
      }));
    const wei = (amount: number) => String(BigInt(amount * 10) * 10n ** 17n);
    const dropped = await say({ [wei(0.2)]: "dropped", [wei(0.4)]: "dropped" });
    await own.page.reload();
    await own.tab("Activity");
    await own.root.locator("[data-status=dropped]").nth(1).waitFor();
    await dropped();
    const one = await say({ [wei(0.2)]: "mined" });
    await prepare("0.5");
    await own.heading("Look at earlier transactions first");
    await own.heading("An earlier transaction may still be carried out");
    await own.heading("An earlier transaction was carried out after all");
    const order = await own.root.locator("h2, [data-earlier] .headline").allTextContents();
    assert.deepEqual(order, [
      "An earlier transaction may still be carried out",
      "Send 0.4 ETH",
      "An earlier transaction was carried out after all",
      "Send 0.2 ETH",
    ]);
    await own.press("Cancel");
    await one();
  });
});
