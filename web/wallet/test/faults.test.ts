/**
 * Faults that integrators of comparable products met, over the real system: each step is named after the one that it excludes. Those of
 * messages, networks and results have theirs in the packages.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { toHex } from "viem";
import { Browser, Person } from "./browser.js";
import { type AppPage, Shop } from "./shop.js";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse 1";
const PIN = "482915";
const HOST = "shop.localhost";
/** Longer than an access token lasts. */
const ACCESS_SECONDS = 1_000;

/** Keeps what pages and frames send to each other, once they are connected. */
const RECORD = `globalThis.posted = [];
const send = MessagePort.prototype.postMessage;
MessagePort.prototype.postMessage = function (message, ...rest) {
  posted.push(message);
  return send.call(this, message, ...rest);
};`;
/** All that a page keeps where scripts of its origin read it without asking. */
const KEPT = "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, name])";

let up: System;
let browser: Browser;
let shop: Shop;
let page: AppPage;
let account: { address: string; network: string };
/** Tokens as the server gave them, the oldest first. */
const tokens: Record<"access_token" | "refresh_token", string[]> = { access_token: [], refresh_token: [] };
/** Every address that was asked, with what stood in its headers about where the asker came from. */
const asked: string[] = [];

async function framed(): Promise<Person> {
  await page.page.locator("iframe").waitFor({ state: "visible" });
  const frame = await (await page.page.locator("iframe").elementHandle())?.contentFrame();
  assert.ok(frame);
  return new Person(page.page, up, frame);
}

const message = (text: string) => ({ network: account.network, address: account.address, message: toHex(text) });

/** Nothing of what the server gave is where it does not belong. */
async function isNowhere(secrets: readonly string[]): Promise<void> {
  assert.ok(secrets.length > 0);
  const all = browser.context.pages().flatMap((each) => each.frames());
  const frames = all.filter((frame) => frame.url().startsWith("http"));
  const said = await Promise.all(
    frames.map((frame) => frame.evaluate(`[${KEPT}, JSON.stringify(globalThis.posted), location.href].join()`)),
  );
  for (const text of [...(said as string[]), ...asked]) {
    for (const secret of secrets) assert.ok(!text.includes(secret), text.replaceAll(secret, "SECRET"));
  }
}

test("faults not to repeat", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    [up, browser, shop] = await Promise.all([
      System.start({ walletUrl: `http://wallet.${HOST}:0` }),
      Browser.open(),
      Shop.open(),
    ]);
    await browser.context.addInitScript(RECORD);
    browser.context.on("request", (request) => asked.push(`${request.url()} ${request.headers().referer ?? ""}`));
    browser.context.on("response", async (response) => {
      if (!response.url().startsWith(`${up.ready.server}/v1/`)) return;
      const told = (await response.json().catch(() => ({}))) as Partial<Record<keyof typeof tokens, string>>;
      for (const kind of ["access_token", "refresh_token"] as const) {
        const token = told?.[kind];
        if (typeof token === "string") tokens[kind].push(token);
      }
    });
    const app = up.createApp("Shop", "--origin", shop.origin(HOST));
    page = await shop.visit(browser, HOST, { app, wallet: up.page, way: "frame" });
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), shop?.close()]);
  });

  await step("tokens in localStorage and copied into the frame at each open; a refresh token in a URL", async () => {
    const login = page.ask("login", { email: EMAIL });
    const ada = await framed();
    await ada.press("Create an account");
    await ada.signUpAs(EMAIL, PASSWORD);
    await ada.choosePin(PIN);
    await ada.press("Connect");
    assert.equal((await login).code, undefined);
    [account] = (await page.result("accounts")) as [typeof account];
    await isNowhere([...tokens.access_token, ...tokens.refresh_token, PIN, PASSWORD]);
    await page.page.reload();
    await page.page.waitForFunction("globalThis.ask !== undefined");
    assert.deepEqual(await page.result("accounts", { networks: [account.network] }), [account]);
    const posted = (await Promise.all(page.page.frames().map((frame) => frame.evaluate("posted.length")))) as number[];
    assert.ok(posted.length === 2 && posted.every((count) => count > 0), "what crosses is seen");
    await isNowhere([...tokens.access_token, ...tokens.refresh_token, PIN, PASSWORD]);
  });

  await step("a try counter that is reset behind a GET, or by asking where it stands", async () => {
    const own = await browser.visit(up);
    await own.button("Send").waitFor();
    const wrong = async (left: number): Promise<void> => {
      await own.tab("Settings");
      await own.press("Change PIN");
      await own.pin("Enter your PIN", "135790");
      await own.sees(`Wrong PIN. ${left} tries are left on this device.`);
      await own.root.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    };
    await wrong(4);
    let reads = 0;
    own.page.on("request", (request) => {
      if (request.method() === "GET" && request.url().startsWith(`${up.ready.server}/v1/`)) reads += 1;
    });
    for (const name of ["Home", "Activity", "Devices", "Settings"]) await own.tab(name);
    await own.page.reload();
    await own.root.getByRole("navigation").waitFor();
    assert.deepEqual(await page.result("accounts", { networks: [account.network] }), [account]);
    await own.tab("Devices");
    await own.sees("4 tries are left on this device.");
    assert.ok(reads >= 4, `${reads} reads`);
    await wrong(3);
    await own.page.close();
  });

  await step("a PIN that is not bound to what it was given for", async () => {
    const url = `${up.ready.server}/v1/wallet/sealed`;
    const sealed: string[] = [];
    let inItsPlace: string | undefined;
    await browser.context.route(url, (route) => {
      const body = route.request().postData();
      if (body === null) return route.continue();
      if (inItsPlace !== undefined) return route.continue({ postData: inItsPlace });
      sealed.push(body);
      return route.continue();
    });
    const told = page.ask("evm.signMessage", message("twelve eggs"));
    const ada = await framed();
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", PIN);
    assert.match(String((await told).result), /^0x[0-9a-f]{130}$/);
    const given = sealed.at(-1);
    // The host has the PIN as it was sealed for the one, and hands it in for the other.
    const other = page.ask("evm.signMessage", message("all my eggs"));
    await ada.press("Approve with PIN");
    await ada.root.locator(".key:not(:disabled)").first().waitFor();
    inItsPlace = given;
    await ada.pin("Enter your PIN", PIN);
    await ada.sees("Code: envelope_other_request");
    await browser.context.unroute(url);
    await ada.press("Close");
    await ada.press("Reject");
    const { code, result } = await other;
    assert.deepEqual([code, result], ["declined", undefined]);
  });

  await step("a refresh that never fires; a refresh token that is never rotated", async () => {
    const given: string[] = [];
    // Read on their way, whichever document asks: the frame in the shop has the same session.
    await browser.context.route(`${up.ready.server}/v1/session/refresh`, async (route) => {
      if (route.request().method() === "OPTIONS") return route.continue();
      const response = await route.fetch();
      const told = (await response.json()) as { refresh_token?: string };
      if (told.refresh_token !== undefined) given.push(told.refresh_token);
      await route.fulfill({ response }).catch(() => undefined);
    });
    const own = await browser.visit(up);
    await own.button("Send").waitFor();
    const before = new Set(tokens.refresh_token);
    for (const round of [1, 2]) {
      await own.page.goto("about:blank");
      up.ahead(round * ACCESS_SECONDS);
      await own.page.clock.setSystemTime(Date.now() + round * ACCESS_SECONDS * 1000);
      await own.page.goto(up.page);
      await own.button("Send").waitFor();
      assert.equal(given.length, round);
    }
    assert.equal(new Set([...given, ...before]).size, given.length + before.size);
    await isNowhere(given);
    assert.equal(new Set(tokens.refresh_token).size, tokens.refresh_token.length);
    assert.equal(new Set(tokens.access_token).size, tokens.access_token.length);
    await isNowhere([...tokens.access_token, ...tokens.refresh_token]);
    await own.page.close();
  });
});
