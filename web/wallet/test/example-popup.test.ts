/** Both examples on sites that are not the wallet's: it opens in a window, and only a click opens it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { type Hex, recoverMessageAddress } from "viem";
import { Browser, type Person } from "./browser.js";
import { Example, type Visitor } from "./example.js";

const EMAIL = "ada@example.org";
const PIN = "482915";

let up: System;
let browser: Browser;
let plain: Example;
let react: Example;
let eggs: Visitor;
let orders: Visitor;
let account: Hex;

/** Until the window is closed, as it is once nothing more is asked of it. */
async function closed(ada: Person): Promise<void> {
  if (!ada.page.isClosed()) await ada.page.waitForEvent("close");
}

async function approve(ada: Person): Promise<void> {
  await ada.press("Approve with PIN");
  await ada.pin("Enter your PIN", PIN);
}

test("the examples on sites of their own", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    const walletUrl = "http://wallet.bank.localhost:0";
    [up, browser] = await Promise.all([System.start({ node: true, walletUrl }), Browser.open()]);
    [plain, react] = await Promise.all([
      Example.serve(up, "plain-html", "--popup"),
      Example.serve(up, "wagmi-react", "--popup", "--host", "orders.localhost", "--node", up.ready.node ?? ""),
    ]);
    eggs = await plain.visit(browser, up);
  });
  after(async () => {
    plain?.stop();
    react?.stop();
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("sign-up and PIN in the wallet's window, then account and balance in the page", async () => {
    assert.equal(new URL(plain.origin).hostname, "eggs.localhost");
    const ada = await eggs.opened("Log in");
    assert.equal(new URL(ada.page.url()).hostname, "wallet.bank.localhost");
    await ada.signUp(EMAIL, "correct horse 1");
    await ada.choosePin(PIN);
    await ada.press("Connect");
    await eggs.page.getByText(EMAIL, { exact: true }).waitFor();
    account = await eggs.account();
    assert.match(account, /^0x[0-9a-fA-F]{40}$/);
    await closed(ada);
  });

  await step("what needs no person opens the window for as long as it takes", async () => {
    await up.node("anvil_setBalance", [account, "0xde0b6b3a7640000"]);
    const ada = await eggs.opened("Look again");
    await eggs.page.getByText(/^1 /).waitFor();
    await closed(ada);
  });

  await step("a message is read and signed in the window, and closing it is a no", async () => {
    const signing = await eggs.opened("Sign");
    await signing.sees("I would like twelve eggs.");
    await approve(signing);
    const signature = /0x[0-9a-f]{130}/.exec(await eggs.told(/^Signed by 0x/))?.[0] as Hex;
    assert.equal(await recoverMessageAddress({ message: "I would like twelve eggs.", signature }), account);
    await closed(signing);
    const leaving = await eggs.opened("Sign");
    await leaving.heading("Review");
    await leaving.page.close();
    await eggs.told(/You closed the wallet.*\(closed_by_user\)/);
  });

  await step("test coins are sent, and logging out ends the session", async () => {
    const ada = await eggs.opened("Send 0.001 test coins");
    await ada.sees("Send 0.001 ETH");
    await approve(ada);
    const hash = /0x[0-9a-f]{64}$/.exec(await eggs.told(/^Sent: 0x/))?.[0];
    await ada.press("Done");
    const sent = (await up.node("eth_getTransactionByHash", [hash])) as Record<string, string>;
    assert.equal(sent.value, "0x38d7ea4c68000");
    await closed(ada);
  });

  await step(
    "the same wallet, on another site with React: consent, a signature, and a reload without a window",
    async () => {
      orders = await react.visit(browser, up);
      const ada = await orders.opened("Connect");
      await ada.heading("Connect to Egg orders (example)?");
      await ada.sees(react.origin);
      await ada.press("Connect");
      await orders.page.getByText("Anvil", { exact: true }).waitFor();
      assert.equal(await orders.account(), account);
      await closed(ada);
      const signing = await orders.opened("Sign message");
      await approve(signing);
      await orders.told(/^Signed by 0x/);
      await closed(signing);
      await orders.page.reload();
      assert.equal(await orders.account(), account);
      assert.equal(browser.context.pages().filter((page) => page.url().startsWith(up.page)).length, 0);
    },
  );

  await step("a page with an opener policy of same-origin reads what to change", async () => {
    for (const [folder, button] of [
      ["plain-html", "Log in"],
      ["wagmi-react", "Connect"],
    ] as const) {
      const severed = await Example.serve(up, folder, "--popup", "--opener-policy", "same-origin");
      try {
        const visitor = await severed.visit(browser, up);
        await visitor.press(button);
        await visitor.told(/Serve it with same-origin-allow-popups\. \(opener_severed\)/);
      } finally {
        severed.stop();
      }
    }
    assert.deepEqual(browser.complaints, []);
  });
});
