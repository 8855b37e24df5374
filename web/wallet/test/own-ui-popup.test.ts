/**
 * The PIN pad's element and the widget in an app on another site than the wallet's, which opens in a window of its own. The browser blocks
 * windows as it does for everybody: one that no press has asked for does not open.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import type { Page } from "playwright-core";
import { Browser, Person } from "./browser.js";
import { bundle, documentOf, inline, Site } from "./site.js";

const EMAIL = "ada@example.org";
const PIN = "482915";
const NEXT_PIN = "730264";
const PATIENCE_MILLISECONDS = 15_000;

/** Each act has a button; what comes of it stands in the page. The one that the address names is done at once, before anybody presses anything. */
const SCRIPT = `
import { popup } from "@pinseal/core";
import { definePin } from "@pinseal/pin";
import { PinsealSDK } from "@pinseal/sdk";

const query = new URLSearchParams(location.search);
const [appId, wallet] = [query.get("app"), query.get("wallet")];
definePin();
const pad = document.querySelector("pinseal-pin");
pad.setAttribute("app-id", appId);
pad.setAttribute("wallet", wallet);
for (const event of ["open", "close"]) pad.addEventListener(event, () => { document.body.dataset.heard = (document.body.dataset.heard ?? "") + event + " "; });
const sdk = new PinsealSDK({ appId, wallet, transport: popup });
await sdk.init();
const acts = {
  register: async () => (await pad.register()).userInfo.email,
  verify: () => pad.authenticate(),
  change: () => pad.change(),
  login: async () => (await sdk.loginWithUI()).userStatus.loginStatus,
  open: async () => { await sdk.openWidget(); return sdk.getStatus(); },
};
let count = 0;
async function run(name) {
  const told = await acts[name]().then((result = "done") => ({ result }), ({ name, code, message }) => ({ name, code, message }));
  document.body.append(Object.assign(document.createElement("pre"), { id: "told" + count, textContent: JSON.stringify(told) }));
  count += 1;
}
for (const name of Object.keys(acts)) {
  document.body.append(Object.assign(document.createElement("button"), { textContent: name, onclick: () => void run(name) }));
}
if (query.has("now")) void run(query.get("now"));
`;

interface Told {
  readonly result?: string;
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
}

let up: System;
let browser: Browser;
let site: Site;
let app: string;
let page: Page;
/** How much the page has told. */
let count: number;

async function visit(query: Record<string, string> = {}): Promise<void> {
  await page?.close();
  page = await browser.context.newPage();
  page.setDefaultTimeout(PATIENCE_MILLISECONDS);
  count = 0;
  await page.goto(`${site.origin("eggs.localhost")}/?${new URLSearchParams({ app, wallet: up.page, ...query })}`);
}

/** What the next act that ends comes to. */
async function told(): Promise<Told> {
  const text = await page.locator(`#told${count}`).textContent();
  count += 1;
  return JSON.parse(text ?? "") as Told;
}

/** Presses the act's button; somebody at the wallet, in the window that opens. */
async function opened(act: string): Promise<Person> {
  const opening = page.waitForEvent("popup");
  await page.getByRole("button", { name: act }).click();
  const window = await opening;
  window.setDefaultTimeout(PATIENCE_MILLISECONDS);
  return new Person(window, up);
}

/** Until the window is closed, as it is once nothing more is asked of it. */
async function closed({ page: window }: Person): Promise<void> {
  if (!window.isClosed()) await window.waitForEvent("close");
}

/** Done without a press: nothing has opened, and the app reads what to change. */
async function isBlocked(): Promise<void> {
  const { name, code, message } = await told();
  assert.deepEqual([name, code], ["BridgeError", "popup_blocked"]);
  assert.match(message ?? "", /open it in the handler of a click/);
  assert.deepEqual(
    browser.context.pages().filter((open) => open.url().startsWith(up.page)),
    [],
  );
}

test("an app on another site than the wallet's", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    const document = documentOf(`<h1>Shop</h1><pinseal-pin popup></pinseal-pin>${inline(bundle(SCRIPT))}`);
    site = await Site.open(() => ({ type: "text/html", body: document }));
    [up, browser] = await Promise.all([
      System.start({ node: true, walletUrl: "http://wallet.bank.localhost:0" }),
      Browser.open(),
    ]);
    app = up.createApp("Shop", "--origin", site.origin("eggs.localhost"));
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), site?.close()]);
  });

  await step(
    "a pad that no press has asked for is blocked and says what to do; a press afterwards makes a wallet",
    async () => {
      await visit({ now: "register" });
      await isBlocked();
      const ada = await opened("register");
      assert.equal(new URL(ada.page.url()).hostname, "wallet.bank.localhost");
      await ada.signUp(EMAIL, "correct horse 1");
      await ada.choosePin(PIN);
      await ada.press("Connect");
      assert.deepEqual(await told(), { result: EMAIL });
      await closed(ada);
      await page.locator('body[data-heard="open close "]').waitFor();
    },
  );

  await step("a PIN is proved in the window: who asks is said, and a wrong one is told there alone", async () => {
    const ada = await opened("verify");
    const dialog = ada.root.getByRole("dialog");
    await dialog.getByText("Shop asks you to enter your PIN.").waitFor();
    await dialog.getByText(site.origin("eggs.localhost")).waitFor();
    assert.equal(await page.locator("pinseal-pin").isVisible(), false);
    await ada.pin("Enter your PIN", "135790");
    await ada.sees("Wrong PIN. 4 tries are left on this device.");
    assert.equal(await page.locator(`#told${count}`).count(), 0);
    await ada.pin("Enter your PIN", PIN);
    assert.deepEqual(await told(), { result: "done" });
    await closed(ada);
  });

  await step("a PIN is changed in the window, and only the new one is right from then on", async () => {
    const ada = await opened("change");
    await ada.sees("Shop asks you to choose a new PIN.");
    await ada.pin("Enter your PIN", PIN);
    await ada.pin("Choose a new PIN", NEXT_PIN);
    await ada.pin("Enter the new PIN once more", NEXT_PIN);
    assert.deepEqual(await told(), { result: "done" });
    await closed(ada);
    const again = await opened("verify");
    await again.pin("Enter your PIN", PIN);
    await again.sees(/Wrong PIN/);
    await again.pin("Enter your PIN", NEXT_PIN);
    assert.deepEqual(await told(), { result: "done" });
    await closed(again);
  });

  await step("a window that is closed is a no, a pad that is left is one, too, and the next press works", async () => {
    for (const leave of [(ada: Person) => ada.page.close(), (ada: Person) => ada.page.keyboard.press("Escape")]) {
      const ada = await opened("verify");
      await ada.root.locator(".key:not(:disabled)").first().waitFor();
      await leave(ada);
      const { name, code } = await told();
      assert.ok(["BridgeError closed_by_user", "WalletError declined"].includes(`${name} ${code}`), `${name} ${code}`);
      await closed(ada);
    }
    const ada = await opened("verify");
    await ada.pin("Enter your PIN", NEXT_PIN);
    assert.deepEqual(await told(), { result: "done" });
    await closed(ada);
  });

  await step("a pad that an app asks for by itself, later, is blocked as at first", async () => {
    await visit({ now: "verify" });
    await isBlocked();
    const ada = await opened("verify");
    await ada.pin("Enter your PIN", NEXT_PIN);
    assert.deepEqual(await told(), { result: "done" });
    await closed(ada);
  });

  await step(
    "a widget that no press has asked for is blocked and says what to do; presses afterwards work",
    async () => {
      await visit({ now: "login" });
      await isBlocked();
      const quick = await opened("login");
      assert.deepEqual(await told(), { result: "complete" });
      await closed(quick);
      await visit({ now: "open" });
      await isBlocked();
      const ada = await opened("open");
      assert.deepEqual(await told(), { result: "login" });
      await ada.button("Send").waitFor();
      await ada.press("Close the wallet");
      await closed(ada);
    },
  );

  await step("all pages were silent all the way", async () => {
    assert.deepEqual(browser.complaints, []);
  });
});
