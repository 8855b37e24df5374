/** The example of one page and one script, as it is started, with somebody at it. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { programs, System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import type { Page } from "playwright-core";
import { type Hex, recoverMessageAddress } from "viem";
import { axe, Browser, Person } from "./browser.js";

const EMAIL = "ada@example.org";
const PIN = "482915";
const SERVE = new URL("../../../../examples/plain-html/serve.mjs", import.meta.url).pathname;

let up: System;
let browser: Browser;
let example: ChildProcess;
let origin: string;
let page: Page;

async function serve(): Promise<string> {
  const data = join(up.directory, "pinseal-data");
  const program = join(resolve(programs ?? ""), "pinseal");
  const args = ["--port", "0", "--wallet", up.page, "--data", data, "--pinseal", program];
  example = spawn(process.execPath, [SERVE, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  assert.ok(example.stdout);
  const ended = once(example, "exit").then(() => assert.fail("the example ended"));
  const [line] = (await Promise.race([once(createInterface(example.stdout), "line"), ended])) as [string];
  ended.catch(() => undefined);
  return line;
}

async function framed(): Promise<Person> {
  const frame = page.locator("iframe:visible");
  await frame.waitFor();
  const content = await (await frame.elementHandle())?.contentFrame();
  assert.ok(content);
  return new Person(page, up, content);
}

const press = (name: string): Promise<void> => page.getByRole("button", { name, exact: true }).click();

/** What the page says, once it says this. */
async function told(text: RegExp): Promise<string> {
  const status = page.getByRole("status").filter({ hasText: text });
  await status.waitFor();
  return (await status.textContent()) ?? "";
}

test("the example of one page and one script", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    const walletUrl = "http://wallet.shop.localhost:0";
    [up, browser] = await Promise.all([System.start({ node: true, walletUrl }), Browser.open()]);
    origin = await serve();
    page = await browser.context.newPage();
    page.setDefaultTimeout(15_000);
    await page.goto(origin);
  });
  after(async () => {
    example?.kill("SIGTERM");
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("it registers itself, and is served for its own name with a strict policy", async () => {
    assert.equal(new URL(origin).hostname, "shop.localhost");
    const { headers, status } = await fetch(origin.replace("shop.localhost", "127.0.0.1"));
    assert.equal(status, 421);
    assert.match(
      headers.get("content-security-policy") ?? "",
      new RegExp(`script-src 'self';.* frame-src ${up.page};`),
    );
  });

  await step("a user who closes the wallet reads so", async () => {
    await press("Log in");
    await (await framed()).press("Close the wallet");
    await told(/You closed the wallet.*\(closed_by_user\)/);
  });

  await step("sign-up and PIN in the wallet's frame, then account and balance in the page", async () => {
    await press("Log in");
    const ada = await framed();
    await ada.signUp(EMAIL, "correct horse 1");
    await ada.press("Choose a PIN");
    await ada.pin("Choose a new PIN", PIN);
    await ada.pin("Enter the new PIN once more", PIN);
    await ada.press("Connect");
    await page.getByText(EMAIL, { exact: true }).waitFor();
    await up.node("anvil_setBalance", [await account(), "0xde0b6b3a7640000"]);
    await press("Look again");
    await page.getByText(/^1 /).waitFor();
  });

  await step("the signature over what was written is the account's", async () => {
    const message = "Zwölf Eier, bitte.";
    await page.getByLabel("Message").fill(message);
    await press("Sign");
    const ada = await framed();
    await ada.sees(message);
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", PIN);
    const signature = /0x[0-9a-f]{130}/.exec(await told(/^Signed by 0x/))?.[0] as Hex;
    assert.equal(await recoverMessageAddress({ message, signature }), await account());
  });

  await step("it fits 320 pixels, and axe-core finds nothing in light and dark", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await axe(page), []);
    }
    await page.setViewportSize({ width: 320, height: 800 });
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 320);
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  await step("test coins are sent once the wallet has shown what is signed", async () => {
    await press("Send 0.001 test coins");
    const ada = await framed();
    await ada.sees("Send 0.001 ETH");
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", PIN);
    const hash = /0x[0-9a-f]{64}$/.exec(await told(/^Sent: 0x/))?.[0];
    await ada.press("Done");
    await page.locator("iframe:visible").waitFor({ state: "detached" });
    const sent = (await up.node("eth_getTransactionByHash", [hash])) as Record<string, string>;
    assert.equal(sent.value, "0x38d7ea4c68000");
  });

  await step("a reload finds the user again, logging out ends that, and the page was silent", async () => {
    await page.reload();
    await page.getByText(EMAIL, { exact: true }).waitFor();
    await press("Log out");
    await told(/^Logged out\.$/);
    await page.reload();
    await page.getByRole("button", { name: "Log in", exact: true }).waitFor();
    assert.deepEqual(browser.complaints, []);
  });
});

async function account(): Promise<Hex> {
  return (await page.locator("#account").textContent()) as Hex;
}
