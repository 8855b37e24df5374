/** What somebody presses while the page works at something else: no button that looks ready does nothing. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import type { Locator } from "playwright-core";
import { Browser, type Person } from "./browser.js";
import { Shop } from "./shop.js";

const EMAIL = "grace@example.org";
const PASSWORD = "correct horse 4";
const PIN = "482915";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const NETWORK = "eip155:31337";

/** A tab hears nothing of the others while it sleeps, and then all at once. */
const SLEEPER = `
  const listen = BroadcastChannel.prototype.addEventListener;
  let held;
  BroadcastChannel.prototype.addEventListener = function (type, heard) {
    listen.call(this, type, (event) => (held === undefined ? heard(event) : held.push(() => heard(event))));
  };
  globalThis.sleep = () => { held = []; };
  globalThis.wake = () => {
    const all = held;
    held = undefined;
    for (const each of all) each();
  };
`;

let up: System;
let browser: Browser;
let grace: Person;

/** It shows that it waits, and a press does nothing that could be lost. */
async function showsBusy(button: Locator): Promise<void> {
  await button.and(button.page().locator('[aria-busy="true"][aria-disabled="true"]')).waitFor();
  // Playwright itself would wait until it is ready.
  await button.click({ force: true });
}

async function showsReady(button: Locator): Promise<void> {
  await button.and(button.page().locator('[aria-busy="false"]')).waitFor();
}

test("while the page is busy", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  let shop: Shop;
  before(async () => {
    [up, browser, shop] = await Promise.all([
      System.start({ node: true, walletUrl: "http://wallet.shop.localhost:0" }),
      Browser.open(),
      Shop.open(),
    ]);
    grace = await browser.visit(up);
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), shop?.close()]);
  });

  await step("a code that is being sent is not asked for twice, and both buttons show that", async () => {
    await grace.press("Create an account");
    await grace.fill("E-mail address", EMAIL);
    await grace.fill("Password", PASSWORD);
    await grace.press("Continue");
    await grace.heading("Check your e-mail");
    const code = await up.mailedCode(EMAIL);
    await grace.fill("Code from the e-mail", code);
    const release = await browser.late(up, "/v1/login/email/verify");
    await grace.press("Confirm");
    await showsBusy(grace.button("Send another code"));
    await showsBusy(grace.button("Confirm"));
    await release();
    await grace.create(PIN);
    await up.node("anvil_setBalance", [await grace.address(), `0x${(10n ** 18n).toString(16)}`]);
  });

  await step("what begins with a PIN waits for an account that is being added, and says so", async () => {
    const second = await Browser.open();
    try {
      const there = await second.visit(up);
      await there.logIn(EMAIL, PASSWORD);
      await there.press("Enter PIN");
      await there.pin("Enter your PIN", "135790");
      await there.sees(/Wrong PIN/);
      await there.pin("Enter your PIN", PIN);
      await there.button("Send").waitFor();
    } finally {
      await second.close();
    }
    await grace.tab("Devices");
    const named = grace.button(/^Revoke Chrome/);
    await named.waitFor();
    await grace.tab("Home");
    const release = await browser.late(up, "/v1/evidence");
    await grace.press("Add an account");
    await grace.tab("Settings");
    await showsBusy(grace.button("Change PIN"));
    await grace.tab("Devices");
    await named.click();
    const revoke = grace.page.getByRole("dialog").getByRole("button", { name: "Revoke", exact: true });
    await showsBusy(revoke);
    // Nothing was asked of a pad, and the question is still there to be answered.
    assert.equal(await grace.page.getByRole("dialog").count(), 1);
    await release();
    await showsReady(revoke);
    await revoke.click();
    await grace.pin("Enter your PIN", PIN);
    await grace.sees("The device is revoked.");
    await grace.tab("Settings");
    await showsReady(grace.button("Change PIN"));
    await grace.press("Change PIN");
    await grace.page.locator(".key:not(:disabled)").first().waitFor();
    await grace.press("Cancel");
    await grace.tab("Home");
    assert.equal(await grace.page.getByLabel("Account").locator("option").count(), 2);
    await grace.page.getByLabel("Account").selectOption({ index: 0 });
  });

  await step("what somebody who signs out had begun neither holds up nor troubles the next login", async () => {
    const release = await browser.late(up, "/v1/evidence");
    await grace.press("Add an account");
    await grace.tab("Settings");
    await grace.press("Log out");
    await grace.heading("Log in");
    await grace.fill("E-mail address", EMAIL);
    await grace.fill("Password", PASSWORD);
    await showsReady(grace.button("Log in"));
    await grace.page.evaluate(`(() => {
      globalThis.told = [];
      const button = document.querySelector("button[type=submit]");
      const watch = new MutationObserver(() => told.push(button.getAttribute("aria-busy")));
      watch.observe(button, { attributeFilter: ["aria-busy"] });
    })()`);
    const login = await browser.late(up, "/v1/login/email");
    await grace.press("Log in");
    await showsBusy(grace.button("Log in"));
    await release();
    await login();
    await grace.button("Send").waitFor();
    assert.deepEqual(await grace.page.evaluate("told"), ["true"], "busy until the wallet opened");
  });

  await step(
    "an app's question comes after the payment that its user is about to see, and takes nothing's place",
    async () => {
      const app = up.createApp("Shop", "--origin", shop.origin("shop.localhost"));
      const page = await shop.visit(browser, "shop.localhost", { app, wallet: up.page, way: "frame" });
      const login = page.ask("login");
      const there = await page.framed(up);
      await there.press("Connect");
      await login;
      const [account] = (await page.result("accounts", { networks: [NETWORK] })) as { address: string }[];
      await page.result("open");
      await there.press("Send");
      await there.fill("To", TO);
      await there.fill("Amount", "0.25");
      const release = await browser.late(up, "/v1/tx/prepare");
      await there.press("Review");
      await there.button("Review").and(there.root.locator('[aria-busy="true"]')).waitFor();
      const asked = page.ask("evm.signMessage", { network: NETWORK, address: account?.address, message: "0x6869" });
      // The wallet knows of the question by the time that it has answered a later one.
      await page.result("accounts", { networks: [NETWORK] });
      assert.equal(await there.button("Approve with PIN").count(), 0);
      await release();
      await there.sees("Send 0.25 ETH");
      await there.press("Reject");
      await there.sees("hi");
      await there.press("Reject");
      assert.equal((await asked).code, "declined");
      await page.page.close();
    },
  );

  await step(
    "a tab that sleeps while somebody else logs in asks them nothing that was asked before, and follows",
    async () => {
      await browser.context.addInitScript(SLEEPER);
      const [asleep, other] = [await browser.visit(up), grace];
      await asleep.press("Send");
      await asleep.fill("To", TO);
      await asleep.fill("Amount", "0.1");
      await asleep.press("Review");
      await asleep.heading("Review");
      await asleep.page.evaluate("sleep()");
      await other.tab("Settings");
      await other.press("Log out");
      await other.signUp("bob@example.org", PASSWORD);
      await other.heading("Create your wallet");
      await asleep.page.evaluate("wake()");
      await asleep.heading("Create your wallet");
      await asleep.sees("bob@example.org");
      await other.create(PIN);
      await asleep.button("Send").waitFor();
      assert.equal(await asleep.button("Approve with PIN").count(), 0);
      await Promise.all([asleep, other].map(({ page }) => page.close()));
    },
  );
});
