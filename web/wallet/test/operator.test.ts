/** What operators set, as people at the page meet it: tokens, another protection, images to trust. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { Browser, type Person, steps, withoutChromium } from "./browser.js";
import { mint, slotOf, TOKEN, TOKEN_SETTINGS, wordOf } from "./evm.js";
import { programs, Up, withoutPrograms } from "./up.js";

const EMAIL = "hedy@example.org";
const PASSWORD = "correct horse 3";
const PIN = "482915";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

let up: Up;
let browser: Browser;
let hedy: Person;
let witness: ChildProcess | undefined;

/** A witness that answers on this machine: its verifier key and where it is. */
async function startWitness(): Promise<string> {
  const { verifier_key: key } = JSON.parse(up.command("witness", "init", "--json", "--name", "witness.example/w1")) as {
    verifier_key: string;
  };
  const serve = ["witness", "serve", "--json", "--listen", "127.0.0.1:0"];
  witness = spawn(join(programs ?? "", "pinseal"), serve, { cwd: up.directory, stdio: ["ignore", "pipe", "ignore"] });
  assert.ok(witness.stdout);
  const [line] = (await once(createInterface(witness.stdout), "line")) as [string];
  return `${key} ${(JSON.parse(line) as { url: string }).url}`;
}

test("what operators set", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    [up, browser] = await Promise.all([Up.start({ node: true, settings: TOKEN_SETTINGS }), Browser.open()]);
    hedy = await browser.visit(up);
    await hedy.signUp(EMAIL, PASSWORD);
    await hedy.create(PIN);
    const address = await hedy.address();
    await mint(up, address, 2_500_000);
    await up.node("anvil_setBalance", [address, `0x${(10n ** 18n).toString(16)}`]);
  });
  after(async () => {
    const ended = witness && once(witness, "exit");
    witness?.kill("SIGTERM");
    await Promise.all([browser?.close(), up?.stop(), ended]);
  });

  await step("a listed token shows what is held of it, and is sent by the list's decimals, decoded", async () => {
    await hedy.page.reload();
    await hedy.page.locator("[data-token=TST]", { hasText: "2.5 TST" }).waitFor();
    await hedy.press("Send");
    await hedy.page.getByLabel("What").selectOption("TST");
    await hedy.fill("To", TO);
    await hedy.fill("Amount", "2.6");
    await hedy.press("Review");
    await hedy.sees("More than you have, with the fee.");
    await hedy.fill("Amount", "1.0000001");
    await hedy.sees(/at most 6 places/);
    await hedy.fill("Amount", "1.25");
    await hedy.press("Review");
    await hedy.sees("Send 1.25 TST");
    assert.equal(await hedy.page.locator("[data-address]").first().getAttribute("data-address"), TO);
    await hedy.press("Approve with PIN");
    await hedy.pin("Enter your PIN", PIN);
    await hedy.page.locator("[data-status=mined], [data-status=final]").first().waitFor();
    assert.equal(await up.node("eth_getStorageAt", [TOKEN, slotOf(TO), "latest"]), wordOf(1_250_000));
    await hedy.press("Done");
    await hedy.page.locator("[data-token=TST]", { hasText: "1.25 TST" }).waitFor();
  });

  await step("a host that counts a token otherwise moves no point", async () => {
    const honest = await browser.lie(up, "/v1/balances", (answer) => ({
      ...answer,
      tokens: (answer.tokens as object[] | undefined)?.map((token) => ({ ...token, decimals: 0, symbol: "USDC" })),
    }));
    await hedy.page.reload();
    await hedy.page.locator("[data-token=TST]", { hasText: "1.25 TST" }).waitFor();
    await honest();
  });

  await step("another protection is shown before and after, and opens nothing until it is acknowledged", async () => {
    const answering = await startWitness();
    await up.halt();
    up.command("witness", "trust", readFileSync(join(up.directory, "pinseal-data", "host", "log.vkey"), "utf8"));
    up.command("config", "change", "--json", "--yes", "--add-witness", answering);
    up = await up.again();
    await hedy.page.reload();
    const dialog = hedy.page.getByRole("dialog");
    await dialog.getByRole("heading", { name: "What protects your PIN has changed" }).waitFor();
    assert.deepEqual(await dialog.locator("h3").allTextContents(), ["Before", "Now"]);
    await hedy.sees("witness.example/w1");
    await hedy.sees(/L4/);
    assert.equal(await hedy.page.locator(".pad").count(), 0);
    await hedy.press("Cancel");
    await hedy.sees("Without that the wallet stays closed.");
    await hedy.press("Try again");
    await hedy.press("I have seen this");
    await hedy.button("Send").waitFor();
    await hedy.page.reload();
    await hedy.button("Send").waitFor();
    await hedy.tab("Settings");
    await hedy.press("Change PIN");
    await hedy.pin("Enter your PIN", "135790");
    await hedy.sees(/Wrong PIN/);
    await hedy.press("Cancel");
  });

  await step(
    "where images are listed, software evidence opens nothing, though the service calls itself one of development",
    async () => {
      await up.halt();
      const pcr = (digit: string) => digit.repeat(96);
      up.configure(`[[wallet_images]]\npcr0 = "${pcr("a")}"\npcr1 = "${pcr("b")}"\npcr2 = "${pcr("c")}"`);
      up = await up.again();
      await hedy.page.reload();
      await hedy.heading("Your wallet cannot be opened now");
      await hedy.sees(/Code: /);
      assert.equal(await hedy.page.locator(".pad").count(), 0);
    },
  );
});
