/** What operators set, as people at the page meet it: tokens, images to trust. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { Browser, type Person } from "./browser.js";
import { mint, slotOf, TOKEN, withToken, wordOf } from "./evm.js";

/** A token that is listed, and where nothing is at first. */
const NONE = `0x${"71".repeat(20)}`;
const withTokens = (settings: string) => `${withToken(settings)}
[[tokens]]
network = "eip155:31337"
contract = "${NONE}"
symbol = "NIL"
decimals = 18
`;

const EMAIL = "hedy@example.org";
const PASSWORD = "correct horse 3";
const PIN = "482915";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

let up: System;
let browser: Browser;
let hedy: Person;

test("what operators set", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    [up, browser] = await Promise.all([System.start({ node: true, settings: withTokens }), Browser.open()]);
    hedy = await browser.visit(up);
    await hedy.signUp(EMAIL, PASSWORD);
    await hedy.create(PIN);
    const address = await hedy.address();
    await mint(up, address, 2_500_000);
    await up.node("anvil_setBalance", [address, `0x${(10n ** 18n).toString(16)}`]);
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("a listed token shows what is held of it, and is sent by the list's decimals, decoded", async () => {
    await hedy.page.reload();
    await hedy.page.locator("[data-token=TST]", { hasText: "2.5 TST" }).waitFor();
    await hedy.press("Send");
    await hedy.page.getByLabel("Asset").selectOption("TST");
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
    await hedy.page.getByRole("dialog").getByText("Send 1.25 TST").waitFor();
    assert.equal(await hedy.page.locator("dialog [data-address]").getAttribute("data-address"), TO);
    await hedy.pin("Enter your PIN", PIN);
    await hedy.mined();
    assert.equal(await up.node("eth_getStorageAt", [TOKEN, slotOf(TO), "latest"]), wordOf(1_250_000));
    await hedy.press("Done");
    const listed = hedy.page.locator("li[data-hash]", { hasText: "TST, token contract" });
    await listed.waitFor();
    assert.doesNotMatch((await listed.textContent()) ?? "", /ETH/, "the coin is not what was sent");
    await hedy.page.locator("[data-token=TST]", { hasText: "1.25 TST" }).waitFor();
  });

  await step("a listed token that cannot be read is named with the reason, and spoils nothing beside it", async () => {
    const nil = hedy.page.locator("[data-token=NIL]");
    await nil.getByText("Could not be read: there is no token at this address on this network.").waitFor();
    // Answers to everything, with what no balance is.
    await up.node("anvil_setCode", [NONE, "0x60405ff3"]);
    await hedy.page.reload();
    await nil.getByText(/^Could not be read: there is no token/).waitFor();
    await hedy.page.locator("[data-token=TST]", { hasText: "1.25 TST" }).waitFor();
    await hedy.tab("Settings");
    await hedy.page.getByLabel("Language").selectOption("ko");
    await hedy.tab("홈");
    await nil.getByText(/토큰이 없습니다/).waitFor();
    await hedy.tab("설정");
    await hedy.page.getByLabel("언어").selectOption("en");
    await hedy.tab("Home");
    await hedy.press("Send");
    await hedy.page.getByLabel("Asset").waitFor();
    assert.deepEqual(await hedy.page.getByLabel("Asset").locator("option").allTextContents(), ["ETH", "TST"]);
    await hedy.press("Back");
  });

  await step(
    "a host that tells amounts in another order, or both an amount and a problem, is not believed",
    async () => {
      const lies: ((tokens: object[]) => object[])[] = [
        (tokens) => tokens.toReversed(),
        (tokens) => tokens.map((token) => ({ amount: "1", ...token, problem: "unavailable" })),
      ];
      for (const lie of lies) {
        const honest = await browser.lie(up, "/v1/balances", (answer) => ({
          ...answer,
          tokens: lie((answer.tokens as object[] | undefined) ?? []),
        }));
        await hedy.page.reload();
        await hedy.page
          .getByRole("region", { name: "Tokens" })
          .getByText(/^The service.s answer does not hold/)
          .waitFor();
        assert.equal(await hedy.page.locator("[data-token]").count(), 0);
        await honest();
      }
    },
  );

  await step("a host that counts a token otherwise moves no point", async () => {
    const honest = await browser.lie(up, "/v1/balances", (answer) => ({
      ...answer,
      tokens: (answer.tokens as object[] | undefined)?.map((token) => ({ ...token, decimals: 0, symbol: "USDC" })),
    }));
    await hedy.page.reload();
    await hedy.page.locator("[data-token=TST]", { hasText: "1.25 TST" }).waitFor();
    await honest();
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
