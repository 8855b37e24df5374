/** The example of React and wagmi, as it is started, with somebody at it. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { type Hex, recoverMessageAddress, recoverTypedDataAddress } from "viem";
import { Browser } from "./browser.js";
import { Example, type Visitor } from "./example.js";

const PIN = "482915";
const DIRECTORY = new URL("../../../../examples/wagmi-react/", import.meta.url);
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

let up: System;
let browser: Browser;
let example: Example;
let visitor: Visitor;
let account: Hex;
/** What the compiler says of the example's types; it works meanwhile. */
let compiled: Promise<string>;

async function compile(): Promise<string> {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  // What was right last time, and has not changed, is not looked through again.
  const kept = [
    "--incremental",
    "--tsBuildInfoFile",
    new URL("../example-react.tsbuildinfo", import.meta.url).pathname,
  ];
  const child = spawn(process.execPath, [tsc, "-p", DIRECTORY.pathname, ...kept], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (chunk) => {
    said += chunk;
  });
  await once(child, "close");
  return said;
}

/** What the page says of a signature, once the wallet has shown this and the PIN was given. */
async function signature(shown: string | RegExp): Promise<Hex> {
  const ada = await visitor.framed();
  await ada.sees(shown);
  await ada.press("Approve with PIN");
  await ada.pin("Enter your PIN", PIN);
  return /0x[0-9a-f]{130}/.exec(await visitor.told(/^Signed by 0x/))?.[0] as Hex;
}

test("the example of React and wagmi", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    compiled = compile();
    const walletUrl = "http://wallet.shop.localhost:0";
    [up, browser] = await Promise.all([System.start({ node: true, walletUrl }), Browser.open()]);
    example = await Example.serve(up, "wagmi-react", "--node", up.ready.node ?? "");
    visitor = await example.visit(browser, up);
  });
  after(async () => {
    example?.stop();
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("it names the versions that it is tested with", () => {
    const read = (url: URL | string) => JSON.parse(readFileSync(url, "utf8")) as Record<string, Record<string, string>>;
    const { dependencies, devDependencies } = read(new URL("package.json", DIRECTORY));
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      const installed = read(new URL(`../../web/node_modules/${name}/package.json`, DIRECTORY));
      assert.equal(version, installed.version, name);
    }
  });

  await step("a user who closes the wallet reads so", async () => {
    await visitor.press("Connect");
    await (await visitor.framed()).press("Close the wallet");
    await visitor.told(/You closed the wallet.*\(closed_by_user\)/);
  });

  await step("connecting signs up and shows account, network and balance", async () => {
    await visitor.press("Connect");
    const ada = await visitor.framed();
    await ada.signUp("ada@example.org", "correct horse 1");
    await ada.choosePin(PIN);
    await ada.press("Connect");
    await visitor.page.getByText("Anvil", { exact: true }).waitFor();
    account = await visitor.account();
    await up.node("anvil_setBalance", [account, "0xde0b6b3a7640000"]);
    await visitor.press("Look again");
    await visitor.page.getByText("1 ETH", { exact: true }).waitFor();
  });

  await step("the signature over what was written is the account's", async () => {
    const message = "Zwölf Eier, bitte.";
    await visitor.page.getByLabel("Message").fill(message);
    await visitor.press("Sign message");
    assert.equal(await recoverMessageAddress({ message, signature: await signature(message) }), account);
  });

  await step("and so is the one over an order as typed data", async () => {
    await visitor.page.getByLabel("Eggs").fill("30");
    await visitor.press("Sign order");
    const order = {
      domain: { name: "Egg orders", version: "1", chainId: 31337 },
      types: {
        Order: [
          { name: "eggs", type: "uint256" },
          { name: "note", type: "string" },
        ],
      },
      primaryType: "Order",
      message: { eggs: 30n, note: "by noon" },
    } as const;
    assert.equal(await recoverTypedDataAddress({ ...order, signature: await signature("by noon") }), account);
  });

  await step("a payment is mined, and the balance follows", async () => {
    await visitor.press("Pay 0.001 test coins");
    const ada = await visitor.framed();
    await ada.sees("Send 0.001 ETH");
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", PIN);
    await ada.press("Done");
    const hash = /0x[0-9a-f]{64}$/.exec(await visitor.told(/^In block \d+:/))?.[0];
    const mined = (await up.node("eth_getTransactionReceipt", [hash])) as Record<string, string>;
    assert.deepEqual([mined.status, mined.from, mined.to], ["0x1", account.toLowerCase(), TO.toLowerCase()]);
    await visitor.page.getByText(/^0\.99\d+ ETH$/).waitFor();
  });

  await step("it fits 320 pixels, and axe-core finds nothing in light and dark", async () => {
    await visitor.isForEverybody();
  });

  await step("a reload reconnects without a person", async () => {
    await visitor.page.reload();
    assert.equal(await visitor.account(), account);
    assert.equal(await visitor.page.locator("iframe:visible").count(), 0);
  });

  await step("disconnecting takes the consent back, over reloads, and the page was silent", async () => {
    await visitor.press("Disconnect");
    await visitor.told(/^Disconnected\.$/);
    await visitor.page.reload();
    await visitor.press("Connect");
    await (await visitor.framed()).heading("Connect to Egg orders (example)?");
    assert.deepEqual(browser.complaints, []);
  });

  await step("its types are right", async () => {
    assert.equal(await compiled, "");
  });
});
