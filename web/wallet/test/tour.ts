/** Through every screen of the page, in one way that the accessibility test and the pictures share. */

import { join } from "node:path";
import type { System } from "@pinseal/testing";
import { toHex } from "viem";
import { type Browser, type Json, Person } from "./browser.js";
import { mint, permit, unlimitedApproval } from "./evm.js";
import { drawLogo } from "./logo.js";
import { Shop } from "./shop.js";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse 1";
const PIN = "482915";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/** Called on each screen, which stays as it is meanwhile. */
export type Visit = (name: string, person: Person) => Promise<void>;

/** Ends with a system that was started anew, which `keep` is told before anything else can fail. */
export async function tour(up: System, browser: Browser, visit: Visit, keep: (anew: System) => void): Promise<void> {
  const ada = await browser.visit(up);
  await ada.heading("Log in");
  await visit("log-in", ada);
  await ada.logIn(EMAIL, PASSWORD);
  await ada.sees(/Code: login_failed/);
  await visit("log-in-refused", ada);
  await ada.press("Forgot your password?");
  await visit("forgotten", ada);
  await ada.fill("E-mail address", "nobody@example.org");
  await ada.press("Send a code");
  await ada.page.getByLabel("New password").waitFor();
  await visit("reset", ada);
  await ada.press("Back");
  await ada.press("Create an account");
  await visit("sign-up", ada);
  await ada.press("Log in instead");
  await ada.press("Create an account");
  await ada.fill("E-mail address", EMAIL);
  await ada.fill("Password", PASSWORD);
  await ada.press("Continue");
  await ada.heading("Check your e-mail");
  await visit("confirm", ada);
  await ada.fill("Code from the e-mail", await up.mailedCode(EMAIL));
  await ada.press("Confirm");
  await ada.heading("Create your wallet");
  await visit("create", ada);
  await ada.press("Choose a PIN");
  await ada.page.getByText("Choose a new PIN", { exact: true }).waitFor();
  await visit("pad-new", ada);
  await ada.pin("Choose a new PIN", "123456");
  await ada.sees(/among the first/);
  await visit("pad-weak", ada);
  await ada.pin("Choose a new PIN", PIN);
  await ada.pin("Enter the new PIN once more", PIN);
  await ada.sees("The service lists nothing.");
  await contested(up, visit);
  await inside(up, browser, ada, visit);
  await visitors(up, browser, ada, visit);
  await otherDevice(up, ada, visit);
  await denied(up, browser, ada, visit);
  await otherProtection(up, ada, visit, keep);
}

/** Somebody else signs up with the same address before its owner types the code. */
async function contested(up: System, visit: Visit): Promise<void> {
  const { Browser } = await import("./browser.js");
  const elsewhere = await Browser.open();
  try {
    const email = "eve@example.org";
    const ask = async (person: Person, password: string) => {
      await person.press("Create an account");
      await person.fill("E-mail address", email);
      await person.fill("Password", password);
      await person.press("Continue");
      await person.heading("Check your e-mail");
    };
    const eve = await elsewhere.visit(up);
    await ask(eve, PASSWORD);
    const code = await up.mailedCode(email);
    await ask(await elsewhere.visit(up), "planted horse 1");
    await eve.page.bringToFront();
    await eve.fill("Code from the e-mail", code);
    await eve.press("Confirm");
    await eve.heading("Set a new password");
    await eve.sees(/Somebody else signed up with eve@example.org too, so no password holds yet/);
    await visit("reset-contested", eve);
    await eve.fill("Code from the e-mail", await up.mailedCode(email, 2));
    await eve.fill("New password", "password1");
    await eve.press("Set password");
    await eve.sees(/among the first that are guessed/);
    await visit("reset-common", eve);
    await eve.fill("New password", PASSWORD);
    await eve.press("Set password");
    await eve.heading("Create your wallet");
  } finally {
    await elsewhere.close();
  }
}

/** The operators change the sealed configuration while the wallet is open, and put a state back that they have kept. */
async function otherProtection(up: System, ada: Person, visit: Visit, keep: (anew: System) => void): Promise<void> {
  await up.halt();
  up.command("config", "change", "--yes", "--breaker", "500");
  up.command("restore", "--yes");
  keep(await up.again());
  await ada.tab("Settings");
  await ada.press("Change PIN");
  await ada.heading("What protects your PIN has changed");
  await visit("protection-changed", ada);
  await ada.press("I have seen this");
  await ada.heading("The service was put back to an older state");
  await visit("restored", ada);
  await ada.press("Accept the restore");
  await ada.page.getByRole("dialog").getByText("Enter your PIN").waitFor();
  await ada.press("Cancel");
  await ada.done();
}

async function inside(up: System, browser: Browser, ada: Person, visit: Visit): Promise<void> {
  await visit("home-empty", ada);
  await up.node("anvil_setBalance", [await ada.address(), `0x${(1234n * 10n ** 15n).toString(16)}`]);
  await ada.page.reload();
  await ada.page.locator("[data-balance]", { hasText: "1.234" }).waitFor();
  await ada.press("Receive");
  await visit("receive", ada);
  await ada.press("Back");
  await ada.press("Send");
  await ada.sees(/up to/);
  await visit("send", ada);
  await ada.fill("To", "0x70997970c51812dc3A010C7d01b50e0d17dc79c8");
  await ada.fill("Amount", "2");
  await ada.press("Review");
  await visit("send-refused", ada);
  await ada.fill("To", TO);
  await ada.fill("Amount", "0.25");
  await ada.press("Review");
  await ada.heading("Review");
  await visit("review", ada);
  await ada.press("Approve with PIN");
  await ada.pin("Enter your PIN", "135790");
  await ada.sees(/Wrong PIN/);
  await visit("pad-wrong", ada);
  await ada.pin("Enter your PIN", PIN);
  await ada.mined();
  await visit("sent", ada);
  await ada.press("Done");
  await ada.page.locator("li[data-hash]").waitFor();
  await visit("home", ada);
  await mint(up, await ada.address(), 2_500_000);
  await ada.page.reload();
  await ada.page.locator("[data-token=TST]", { hasText: "2.5 TST" }).waitFor();
  await visit("home-tokens", ada);
  await ada.press("Send");
  await ada.page.getByLabel("Asset").selectOption("TST");
  await ada.fill("To", TO);
  await ada.fill("Amount", "1.25");
  await visit("send-token", ada);
  await ada.press("Review");
  await ada.sees("Send 1.25 TST");
  await visit("review-token", ada);
  await ada.press("Reject");
  await ada.tab("Activity");
  await visit("activity", ada);
  const honest = await browser.lie(up, "/v1/tx", ({ items, ...page }) => {
    // Not the nonce of one that was sent: who is told that it was not is asked about it from then on.
    const waiting = { status: "pending", waits_for: { nonce: 99 } };
    return { ...page, items: (items as Json[]).map((item) => ({ ...item, ...waiting })) };
  });
  await ada.page.reload();
  await ada.sees(/begun and not sent/);
  await visit("activity-waits", ada);
  await honest();
  await unsettled(up, browser, ada, visit);
  await ada.tab("Settings");
  await visit("settings", ada);
  await ada.press("What protects your PIN");
  await ada.heading("Protection");
  await visit("protection", ada);
}

/** Somebody who pays the same person again and again. */
function payer(up: System, ada: Person) {
  const ask = async (amount: string) => {
    await ada.tab("Home");
    await ada.press("Send");
    await ada.fill("To", TO);
    await ada.fill("Amount", amount);
    await ada.press("Review");
  };
  const approve = async () => {
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", PIN);
  };
  const leave = async (amount: string) => {
    await up.node("evm_setAutomine", [false]);
    await ask(amount);
    await approve();
    await ada.sees(/It waits for a block/);
    await ada.press("Done");
  };
  const mine = async (amount: string) => {
    await up.node("anvil_mine", []);
    await up.node("evm_setAutomine", [true]);
    await ada.told(amount);
  };
  const asWell = async () => {
    await ada.button("I have looked: send this one as well").waitFor();
    await ada.review();
    await approve();
    await ada.mined();
    await ada.press("Done");
  };
  return { ask, leave, mine, asWell };
}

/** Payments beside one that waits, and in its place; beside one that the host says is gone; and one that was made already. */
async function unsettled(up: System, browser: Browser, ada: Person, visit: Visit): Promise<void> {
  const { ask, leave, mine, asWell } = payer(up, ada);
  await leave("0.25");
  await ask("0.25");
  await ada.sees(/still on its way/);
  await visit("review-beside", ada);
  await ada.press("Reject");
  const gone = await browser.lie(up, "/v1/tx", ({ items, ...page }) => {
    const [newest, ...others] = items as Json[];
    return { ...page, items: [{ ...newest, status: "dropped" }, ...others] };
  });
  await ask("0.25");
  await ada.heading("An earlier transaction may still be carried out");
  await visit("unsettled", ada);
  await ada.press("Cancel");
  const same = await browser.lie(up, "/v1/tx/prepare", (answer) => ({ ...answer, nonce: Number(answer.nonce) - 1 }));
  await ask("0.25");
  await ada.sees(/Takes the place of/);
  await visit("review-instead", ada);
  await ada.press("Reject");
  await same();
  await gone();
  await mine("0.25");
  await ask("0.25");
  await ada.heading("An earlier transaction was carried out after all");
  await visit("unsettled-done", ada);
  await asWell();
  await leave("0.01");
  await mine("0.01");
  await ask("0.01");
  await ada.heading("You made this transaction already");
  await visit("unsettled-made", ada);
  await asWell();
}

/** One that was denied and is carried out after all, beside one that was and is not; and a list without either. */
async function denied(up: System, browser: Browser, ada: Person, visit: Visit): Promise<void> {
  const { ask, leave, asWell } = payer(up, ada);
  const say = (of: (items: Json[]) => Json[]) =>
    browser.lie(up, "/v1/tx", ({ items, ...page }) => ({ ...page, items: of(items as Json[]) }));
  await leave("0.011");
  await leave("0.012");
  const dropped = await say((items) => items.map((item, at) => (at < 2 ? { ...item, status: "dropped" } : item)));
  await ada.page.reload();
  await ada.tab("Activity");
  await ada.root.locator("[data-status=dropped]").nth(1).waitFor();
  await dropped();
  const one = await say((items) => items.map((item, at) => (at === 1 ? { ...item, status: "mined" } : item)));
  await ask("0.013");
  await ada.heading("Look at earlier transactions first");
  await visit("unsettled-mixed", ada);
  await ada.press("Cancel");
  await one();
  await up.node("anvil_mine", []);
  await up.node("evm_setAutomine", [true]);
  const empty = await say(() => []);
  await ada.page.reload();
  await ada.tab("Activity");
  await ada.sees(/not listed by the service/);
  await visit("activity-unlisted", ada);
  await empty();
  // What is said of them stays the same from here on: what changed between the review and the PIN they would be asked about once more.
  await ada.page.reload();
  await ada.tab("Activity");
  await ada.root
    .locator("[data-status=mined], [data-status=final]", { hasText: /0\.01[12] / })
    .nth(1)
    .waitFor();
  // Nothing stands against whatever comes next.
  await ask("0.013");
  await asWell();
}

/** An app's questions, in a window, where a page of its own can be looked at. */
async function visitors(up: System, browser: Browser, ada: Person, visit: Visit): Promise<void> {
  const shop = await Shop.open();
  try {
    const origin = shop.origin("shop.localhost");
    const logo = join(up.directory, "logo.png");
    drawLogo(logo);
    const look = ["--accent", "#8a1c5a", "--logo", logo];
    const app = up.createApp("Corner Shop", "--origin", origin, ...look);
    const page = await shop.visit(browser, "shop.localhost", { app, wallet: up.page, way: "popup" });
    const opening = browser.context.waitForEvent("page");
    await page.click("login");
    const window = await opening;
    window.setDefaultTimeout(15_000);
    const there = new Person(window, up);
    await there.heading("Connect to Corner Shop?");
    await visit("consent", there);
    await there.press("Connect");
    // Asked for, so that the window does not close meanwhile.
    await page.click("open");
    await there.button("Send").waitFor();
    await visit("visitor", there);
    const address = await there.address();
    const ask = async (method: string, params: object, name: string) => {
      await page.click(method, { network: "eip155:31337", ...params });
      await there.heading("Review");
      await visit(name, there);
      await there.press("Reject");
      await there.button("Send").waitFor();
    };
    const message = toHex("Corner Shop wants you to log in.\n\nNonce: 7f3a\nIssued: 2026-01-01T00:00:00Z");
    await ask("evm.signMessage", { address, message }, "review-message");
    const typedData = JSON.stringify(permit(address, TO, 31337));
    await ask("evm.signTypedData", { address, typedData }, "review-permit");
    const call = { from: address, to: TO, data: unlimitedApproval(TO), gas: "0x186a0" };
    await ask("evm.sendTransaction", { transaction: call }, "review-approval");
    await page.click("pin.verify");
    await there.root.getByRole("dialog").getByText("Corner Shop asks you to enter your PIN.").waitFor();
    await there.root.locator(".key:not(:disabled)").first().waitFor();
    await visit("pad-asked", there);
    await there.press("Cancel");
    await there.button("Send").waitFor();
    await page.page.close();
    await ada.tab("Settings");
    await ada.sees("Corner Shop");
    await visit("settings-apps", ada);
    const alone = await browser.context.newPage();
    await alone.goto(`${up.page}/popup?app=${app}`);
    await alone.getByRole("heading", { name: "This window is alone" }).waitFor();
    await visit("alone", new Person(alone, up));
    await alone.close();
  } finally {
    await shop.close();
  }
}

async function otherDevice(up: System, ada: Person, visit: Visit): Promise<void> {
  const { Browser } = await import("./browser.js");
  const second = await Browser.open();
  try {
    const there = await second.visit(up);
    await there.logIn(EMAIL, PASSWORD);
    await there.heading("Use your wallet on this device");
    await visit("enrol", there);
    await there.press("Enter PIN");
    await there.pin("Enter your PIN", PIN);
    await there.button("Send").waitFor();
    await ada.tab("Devices");
    await ada.button(/^Revoke Chrome/).waitFor();
    await visit("devices", ada);
    await ada.press("All attempts");
    await ada.sees(/these are all there ever were/);
    await visit("history", ada);
    await ada.press("Back");
    await ada.button(/^Revoke Chrome/).waitFor();
    await ada.press(/^Revoke Chrome/);
    await visit("revoke", ada);
    await ada.press("Cancel");
    const honest = await second.lie(up, "/v1/evidence", (answer) => ({ ...answer, document: "80" }));
    await there.tab("Settings");
    await there.press("Change PIN");
    await there.sees(/Code: document_malformed/);
    await visit("pad-refused", there);
    await there.press("Close");
    await there.page.reload();
    await there.heading("Your wallet cannot be opened now");
    await visit("unavailable", there);
    await honest();
  } finally {
    await second.close();
  }
}
