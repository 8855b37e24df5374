/**
 * Tabs of one wallet, in Chromium. No transaction is left behind the nonce of one that nobody sends, whether its tab is left, closed or
 * killed; and what one tab learns of session and tries holds in the others.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import type { Route } from "playwright-core";
import { Browser, type Person } from "./browser.js";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse 1";
const PIN = "482915";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/** Longer than an access token lasts. */
const ACCESS_SECONDS = 1_000;
/** Longer than the host holds a nonce. */
const HELD_SECONDS = 130;

let up: System;
let browser: Browser;
let address: string;

/** Up to the review of a payment. */
async function review(person: Person, amount: string): Promise<void> {
  await person.tab("Home");
  await person.press("Send");
  await person.fill("To", TO);
  await person.fill("Amount", amount);
  await person.press("Review");
  await person.heading("Review");
}

async function approve(person: Person): Promise<void> {
  await person.press("Approve with PIN");
  await person.pin("Enter your PIN", PIN);
}

async function open(): Promise<Person> {
  const person = await browser.visit(up);
  await person.button("Send").waitFor();
  return person;
}

/** Mined transactions of the account. */
async function mined(): Promise<number> {
  return Number(await up.node("eth_getTransactionCount", [address, "latest"]));
}

/** Ends the tab's process in the midst of what it does: the page says no word to anybody any more. */
async function kill({ page }: Person): Promise<void> {
  const session = await browser.context.newCDPSession(page);
  const ended = page.waitForEvent("crash");
  // No answer comes: the one who would give it is gone.
  session.send("Page.crash").catch(() => undefined);
  await ended;
  await page.close();
}

/** Somebody else, who has a wallet, logs in. */
async function changeOver(person: Person, email: string): Promise<void> {
  await person.tab("Settings");
  await person.press("Log out");
  await person.logIn(email, PASSWORD);
  await person.button("Send").waitFor();
}

/** Holds the enclave's next reply back from this tab: once there is one, the promise comes to what lets it through. */
function holdReply({ page }: Person): Promise<() => Promise<void>> {
  return new Promise((held, failed) => {
    let isHeld = false;
    const hold = async (route: Route) => {
      if (isHeld || route.request().method() !== "POST") return route.continue();
      const response = await route.fetch();
      // The server may want a nonce of its own first.
      if (response.status() !== 200) return route.fulfill({ response });
      isHeld = true;
      held(() => route.fulfill({ response }));
    };
    page.route(`${up.ready.server}/v1/wallet/sealed`, hold).catch(failed);
  });
}

/**
 * Approves with the PIN while the enclave stands still: the nonce is taken, and nothing is signed until `gone` is done. Requests of a page
 * that goes away do not come through where a test holds the page's requests itself.
 */
async function approveInVain(person: Person, gone: () => Promise<unknown>): Promise<void> {
  await person.press("Approve with PIN");
  await person.root.getByText("Enter your PIN", { exact: true }).waitFor();
  await person.root.locator(".key:not(:disabled)").first().waitFor();
  process.kill(up.ready.pids.enclave, "SIGSTOP");
  try {
    const begun = person.page.waitForRequest(`${up.ready.server}/v1/wallet/begin`);
    await person.pin("Enter your PIN", PIN);
    await begun;
    await gone();
  } finally {
    process.kill(up.ready.pids.enclave, "SIGCONT");
  }
}

test("tabs of one wallet", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    [up, browser] = await Promise.all([System.start({ node: true }), Browser.open()]);
    const ada = await browser.visit(up);
    await ada.signUp(EMAIL, PASSWORD);
    await ada.create(PIN);
    address = await ada.address();
    await up.node("anvil_setBalance", [address, `0x${(10n ** 18n).toString(16)}`]);
    await ada.page.close();
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("a review that is left holds up nothing: its tab killed, closed, or still open", async () => {
    const killed = await open();
    await review(killed, "0.001");
    await kill(killed);
    const [left, other] = [await open(), await open()];
    await review(left, "0.002");
    await review(other, "0.003");
    await approve(other);
    await other.mined();
    assert.equal(await mined(), 1);
    // What was shown all the time goes on, with the nonce that is next by now.
    await approve(left);
    await left.mined();
    assert.equal(await mined(), 2);
    await Promise.all([left, other].map(({ page }) => page.close()));
  });

  await step("a tab that goes while it signs gives its nonce back", async () => {
    const going = await open();
    await review(going, "0.004");
    await approveInVain(going, () => going.page.goto("about:blank"));
    // Without that this one would have the nonce after it, and wait.
    const other = await open();
    await review(other, "0.005");
    await approve(other);
    await other.mined();
    assert.equal(await mined(), 3);
    await Promise.all([going, other].map(({ page }) => page.close()));
  });

  await step("a tab that is killed while it signs leaves a gap that is told, and filled", async () => {
    const killed = await open();
    await review(killed, "0.006");
    await approveInVain(killed, () => kill(killed));

    const other = await open();
    await review(other, "0.007");
    await approve(other);
    await other.sees(/It waits for an earlier transaction that is being signed in another tab/);
    assert.equal(await other.button("Send 0 to yourself").count(), 0, "it may still come");
    assert.equal(await mined(), 3);
    await other.press("Done");

    up.ahead(HELD_SECONDS);
    await other.page.clock.setSystemTime(Date.now() + HELD_SECONDS * 1000);
    await other.tab("Activity");
    await other.page.reload();
    await other.sees("It waits for an earlier transaction that was begun and not sent.");
    await other.press("Send 0 to yourself");
    await other.heading("Review");
    await approve(other);
    await other.mined();
    await other.press("Done");
    await other.tab("Activity");
    await other.page.locator("li[data-status=pending]").waitFor({ state: "detached" });
    assert.equal(await mined(), 5);
    assert.equal(await other.page.locator("[data-waits]").count(), 0);
  });

  await step("an access token that has expired is renewed by one tab, and both go on", async () => {
    const tabs = [await open(), await open()];
    let refreshes = 0;
    browser.context.on("response", (response) => {
      // A first try may be told to come with a nonce of the server's.
      if (response.url().endsWith("/v1/session/refresh") && response.status() === 200) refreshes += 1;
    });
    up.ahead(HELD_SECONDS + ACCESS_SECONDS);
    const now = Date.now() + (HELD_SECONDS + ACCESS_SECONDS) * 1000;
    await Promise.all(tabs.map(({ page }) => page.clock.setSystemTime(now)));
    await Promise.all(tabs.map(({ page }) => page.reload()));
    await Promise.all(tabs.map((tab) => tab.page.locator("[data-balance]").waitFor()));
    assert.equal(refreshes, 1);
    await Promise.all(tabs.map(({ page }) => page.close()));
  });

  await step("a wrong PIN in one tab is counted in the other, whose pad is open, too", async () => {
    const [first, second] = [await open(), await open()];
    for (const tab of [first, second]) {
      await review(tab, "0.001");
      await tab.press("Approve with PIN");
      await tab.root.getByText("Enter your PIN", { exact: true }).waitFor();
    }
    for (const [tab, left] of [[first, "4 tries are"] as const, [second, "3 tries are"] as const]) {
      await tab.pin("Enter your PIN", "135790");
      await tab.sees(`Wrong PIN. ${left} left on this device.`);
    }
    // A pad that opens now says it before a digit is typed.
    await second.root.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await second.press("Approve with PIN");
    await second.sees("3 tries are left on this device.");
    await Promise.all([first, second].map(({ page }) => page.close()));
  });

  await step("a payment that waits for its block keeps nobody from the next thing", async () => {
    const person = await open();
    await up.node("evm_setAutomine", [false]);
    try {
      await review(person, "0.008");
      await approve(person);
      await person.page.locator("[data-status=pending]").waitFor();
      await person.press("Done");
      await person.tab("Settings");
      await person.press("Change PIN");
      await person.page.locator(".key:not(:disabled)").first().waitFor();
    } finally {
      await up.node("evm_setAutomine", [true]);
    }
    await person.page.close();
  });

  await step("a wallet that opens slowly opens for nobody who has logged in meanwhile", async () => {
    const other = await open();
    const asked = browser.context.waitForEvent("request", (request) => request.url().endsWith("/v1/networks"));
    const release = await browser.late(up, "/v1/networks");
    const slow = await browser.visit(up);
    await asked;
    await other.tab("Settings");
    await other.press("Log out");
    await slow.heading("Log in");
    await other.signUp("bob@example.org", PASSWORD);
    await slow.heading("Create your wallet");
    await release();
    // By the time that the pad has asked for evidence, the answer for Ada is there.
    await slow.press("Choose a PIN");
    await slow.root.getByRole("dialog").getByText("Choose a new PIN", { exact: true }).waitFor();
    await slow.press("Cancel");
    await slow.heading("Create your wallet");
    assert.equal(await slow.button("Send").count(), 0);
    await slow.create(PIN);
    assert.notEqual(await slow.address(), address);
    await Promise.all([slow, other].map(({ page }) => page.close()));
  });

  await step("tries that are told late are not shown to somebody who has logged in meanwhile", async () => {
    const other = await open();
    await changeOver(other, EMAIL);
    await other.tab("Settings");
    await other.press("Change PIN");
    await other.pin("Enter your PIN", "135790");
    await other.sees("Wrong PIN. 4 tries are left on this device.");
    await other.press("Cancel");

    const slow = await open();
    const reply = holdReply(slow);
    await slow.tab("Devices");
    await slow.sees("4 tries are left on this device.");
    const release = await reply;
    await changeOver(other, "bob@example.org");
    await slow.button("Send").waitFor();
    await release();
    // Once the enclave has answered this, the late reply has long been read, and nothing newer was told of Bob's tries.
    await slow.press("Add an account");
    await slow.page.getByLabel("Account").locator("option").nth(1).waitFor({ state: "attached" });
    const evidence = await browser.late(up, "/v1/evidence");
    await slow.tab("Devices");
    await slow.sees("5 tries are left on this device.");
    await evidence();
    await Promise.all([slow, other].map(({ page }) => page.close()));
  });
});
