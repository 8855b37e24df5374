/** The example of one page and one script, as it is started, with somebody at it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { type Hex, recoverMessageAddress } from "viem";
import { Browser } from "./browser.js";
import { Example, type Visitor } from "./example.js";

const EMAIL = "ada@example.org";
const PIN = "482915";

let up: System;
let browser: Browser;
let example: Example;
let visitor: Visitor;

test("the example of one page and one script", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    const walletUrl = "http://wallet.shop.localhost:0";
    [up, browser] = await Promise.all([System.start({ node: true, walletUrl }), Browser.open()]);
    example = await Example.serve(up, "plain-html");
    visitor = await example.visit(browser, up);
  });
  after(async () => {
    example?.stop();
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("it registers itself, and is served for its own name with a strict policy", async () => {
    const { origin } = example;
    assert.equal(new URL(origin).hostname, "shop.localhost");
    const { headers, status } = await fetch(origin.replace("shop.localhost", "127.0.0.1"));
    assert.equal(status, 421);
    assert.match(
      headers.get("content-security-policy") ?? "",
      new RegExp(`script-src 'self';.* frame-src ${up.page};`),
    );
  });

  await step("a user who closes the wallet reads so", async () => {
    await visitor.press("Log in");
    await (await visitor.framed()).press("Close the wallet");
    await visitor.told(/You closed the wallet.*\(closed_by_user\)/);
  });

  await step("sign-up and PIN in the wallet's frame, then account and balance in the page", async () => {
    await visitor.press("Log in");
    const ada = await visitor.framed();
    await ada.signUp(EMAIL, "correct horse 1");
    await ada.choosePin(PIN);
    await ada.press("Connect");
    await visitor.page.getByText(EMAIL, { exact: true }).waitFor();
    await up.node("anvil_setBalance", [await visitor.account(), "0xde0b6b3a7640000"]);
    await visitor.press("Look again");
    await visitor.page.getByText(/^1 /).waitFor();
  });

  await step("the signature over what was written is the account's", async () => {
    const message = "Zwölf Eier, bitte.";
    await visitor.page.getByLabel("Message").fill(message);
    await visitor.press("Sign");
    const ada = await visitor.framed();
    await ada.sees(message);
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", PIN);
    const signature = /0x[0-9a-f]{130}/.exec(await visitor.told(/^Signed by 0x/))?.[0] as Hex;
    assert.equal(await recoverMessageAddress({ message, signature }), await visitor.account());
  });

  await step("it fits 320 pixels, and axe-core finds nothing in light and dark", async () => {
    await visitor.isForEverybody();
  });

  await step("test coins are sent once the wallet has shown what is signed", async () => {
    await visitor.press("Send 0.001 test coins");
    const ada = await visitor.framed();
    await ada.sees("Send 0.001 ETH");
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", PIN);
    const hash = /0x[0-9a-f]{64}$/.exec(await visitor.told(/^Sent: 0x/))?.[0];
    await ada.press("Done");
    await visitor.page.locator("iframe:visible").waitFor({ state: "detached" });
    const sent = (await up.node("eth_getTransactionByHash", [hash])) as Record<string, string>;
    assert.equal(sent.value, "0x38d7ea4c68000");
  });

  await step("a reload finds the user again, logging out ends that, and the page was silent", async () => {
    await visitor.page.reload();
    await visitor.page.getByText(EMAIL, { exact: true }).waitFor();
    await visitor.press("Log out");
    await visitor.told(/^Logged out\.$/);
    await visitor.page.reload();
    await visitor.page.getByRole("button", { name: "Log in", exact: true }).waitFor();
    assert.deepEqual(browser.complaints, []);
  });
});
