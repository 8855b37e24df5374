/** A host that lies to the page: it changes what travels in clear, and goes back to an older state. No PIN is asked for, or nothing is signed. */

import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { Browser, type Json, type Person } from "./browser.js";

const EMAIL = "grace@example.org";
const PASSWORD = "correct horse 2";
const PIN = "482915";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

let up: System;
let browser: Browser;
let grace: Person;

/** The last byte of a member in hex, changed. */
function changed(json: Json, member: string): Json {
  const text = String(json[member]);
  return { ...json, [member]: text.slice(0, -2) + (text.endsWith("00") ? "01" : "00") };
}

/** The page says this code, and there is no pad. */
async function refuses(code: string): Promise<void> {
  await grace.sees(`Code: ${code}`);
  assert.equal(await grace.page.locator(".pad").count(), 0);
}

async function prepare(amount: string): Promise<void> {
  await grace.tab("Home");
  await grace.press("Send");
  await grace.fill("To", TO);
  await grace.fill("Amount", amount);
  await grace.press("Review");
}

test("a host that lies to the page", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    up = await System.start({ node: true });
    browser = await Browser.open();
    grace = await browser.visit(up);
    await grace.signUp(EMAIL, PASSWORD);
    await grace.create(PIN);
    await up.node("anvil_setBalance", [await grace.address(), `0x${(10n ** 18n).toString(16)}`]);
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("forged evidence opens neither the wallet nor a pad", async () => {
    const honest = await browser.lie(up, "/v1/evidence", (answer) => changed(answer, "document"));
    await grace.tab("Settings");
    await grace.press("Change PIN");
    await refuses("signature_wrong");
    await grace.press("Close");
    await grace.page.reload();
    await refuses("signature_wrong");
    await honest();
    await grace.press("Try again");
    await grace.heading("Settings");
  });

  await step("evidence of yesterday is refused", async () => {
    let earlier: Json | undefined;
    const honest = await browser.lie(up, "/v1/evidence", (answer) => {
      earlier ??= answer;
      return earlier;
    });
    await grace.press("Change PIN");
    await grace.pin("Enter your PIN", "135790");
    await grace.sees(/Wrong PIN/);
    await grace.press("Cancel");
    await grace.press("Change PIN");
    await refuses("nonce_wrong");
    await grace.press("Close");
    await honest();
  });

  await step("a swapped address is not shown", async () => {
    const honest = await browser.lie(up, "/v1/accounts", ({ items }) => ({
      items: (items as Json[]).map((item) => changed(item, "statement")),
    }));
    await grace.page.reload();
    await refuses("account_forged");
    await honest();
    await grace.press("Try again");
    await grace.heading("Settings");
  });

  await step("a fee that nobody would pay is refused before it is shown", async () => {
    const honest = await browser.lie(up, "/v1/tx/prepare", (answer) => {
      const price = { max_fee_per_gas: "50000000000000", max_priority_fee_per_gas: "1" };
      return { ...answer, fees: { ...(answer.fees as Json), normal: price } };
    });
    await prepare("0.1");
    await grace.sees("The service proposes an unreasonable fee. The transaction was refused.");
    await honest();
  });

  await step("a transaction that is swapped on its way is refused, and the signed one can be sent again", async () => {
    await prepare("0.1");
    const honest = await browser.lie(up, "/v1/tx/broadcast", (answer) => changed(answer, "hash"));
    await grace.press("Approve with PIN");
    await grace.pin("Enter your PIN", PIN);
    await grace.heading("Signed, and perhaps not sent");
    await honest();
    await grace.press("Send again");
    await grace.mined();
    await grace.press("Done");
    // Twice was once.
    const balance = BigInt((await up.node("eth_getBalance", [TO, "latest"])) as string) % 10n ** 18n;
    assert.equal(balance, 10n ** 17n);
  });

  await step("a reply that is changed is no verdict on the PIN", async () => {
    await prepare("0.1");
    await grace.press("Approve with PIN");
    await grace.page.getByRole("dialog").getByText("Enter your PIN").waitFor();
    const honest = await browser.lie(up, "/v1/wallet/sealed", (answer) => changed(answer, "reply"));
    await grace.pin("Enter your PIN", PIN);
    await grace.sees("Code: envelope_crypto");
    await honest();
    await grace.press("Close");
    await grace.press("Reject");
  });

  await step("a network under another one's name is told by its chain, unasked", async () => {
    const honest = await browser.lie(up, "/v1/networks", ({ items }) => ({
      items: (items as Json[]).map((item) => ({ ...item, name: "Sepolia", testnet: true })),
    }));
    await grace.page.reload();
    await prepare("0.1");
    // What stands above the details.
    const rows = grace.page.locator("dl.rows").first();
    await rows.waitFor();
    assert.match((await rows.textContent()) ?? "", /Sepolia.*eip155:31337/);
    await grace.press("Reject");
    await honest();
  });

  await step("a page that does not know whom to trust asks for nothing", async () => {
    const settings = `${up.page}/settings.json`;
    const tell = (settingsTold: Json) =>
      browser.context.route(settings, (route) => route.fulfill({ json: settingsTold }));
    for (const [told, code] of [
      [{ server: up.ready.server, app_id: "a", app_key: "k", development: false }, "nothing_trusted"],
      [{ server: up.ready.server, app_id: "a", development: true }, "settings_malformed"],
    ] as const) {
      await tell(told);
      await grace.page.reload();
      await refuses(code);
      assert.equal(await grace.page.getByRole("textbox").count(), 0);
      await browser.context.unroute(settings);
    }
    await grace.press("Try again");
    await grace.button("Review").waitFor();
  });

  await step("an older state gets no PIN; one the operators put back gets none before its owner accepts", async () => {
    const data = join(up.directory, "pinseal-data");
    const older = join(up.directory, "older");
    await up.halt();
    cpSync(data, older, { recursive: true });
    up = await up.again();
    await grace.page.goto(up.page);
    await grace.tab("Settings");
    await grace.press("Change PIN");
    await grace.pin("Enter your PIN", PIN);
    await grace.page.getByText("Choose a new PIN").waitFor();
    await grace.press("Cancel");
    await up.halt();
    rmSync(data, { recursive: true });
    cpSync(older, data, { recursive: true });
    up = await up.again();
    await grace.page.goto(up.page);
    await refuses("receipt_rolled_back");
    await up.halt();
    up.command("restore", "--yes", "--data", "pinseal-data");
    up = await up.again();
    await grace.page.goto(up.page);
    await grace.heading("The service was put back to an older state");
    await grace.press("Accept the restore");
    await grace.sees(/1 try is left|Balance/);
    await grace.tab("Devices");
    await grace.sees("1 try is left on this device.");
  });
});
