/** What protects a PIN changes: the page tells, and no pad opens before somebody has seen it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { Browser, type Person } from "./browser.js";
import { Witness } from "./witness.js";

const EMAIL = "joan@example.org";
const PASSWORD = "correct horse 3";
const PIN = "482915";
const NEW_PIN = "739164";
const CHANGED = "What protects your PIN has changed";

test("what protects a PIN", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  const witnesses: Witness[] = [];
  let up: System;
  let browser: Browser;
  let joan: Person;

  /** The operators change the sealed configuration. */
  async function change(...what: string[]): Promise<void> {
    await up.halt();
    up.command("config", "change", "--yes", ...what);
    up = await up.again();
  }

  /** Told in the dialog, and no pad is there. */
  async function tells(...said: (string | RegExp)[]): Promise<void> {
    await joan.heading(CHANGED);
    const dialog = joan.page.getByRole("dialog");
    for (const text of said) await dialog.getByText(text).first().waitFor();
    assert.equal(await joan.page.locator(".pad").count(), 0);
  }

  before(async () => {
    up = await System.start({ node: true });
    browser = await Browser.open();
    joan = await browser.visit(up);
    await joan.signUp(EMAIL, PASSWORD);
    await joan.create(PIN);
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), ...witnesses.map((witness) => witness.stop())]);
  });

  await step(
    "is told at the next login when it rose to witnesses, and the wallet stays closed until that was seen",
    async () => {
      await joan.tab("Settings");
      await joan.press("Log out");
      await joan.heading("Log in");
      for (const name of ["a", "b", "c"]) witnesses.push(await Witness.start(up, `witness.example/${name}`));
      await change(...witnesses.flatMap(({ place }) => ["--add-witness", place]), "--witnesses-required", "2");
      await joan.page.reload();
      await joan.logIn(EMAIL, PASSWORD);
      await tells("L1, never below L1", "L4, never below L4", "2 of 3 must agree", /^witness\.example\/c\+/);
      await joan.press("Cancel");
      await joan.sees("Without that the wallet stays closed.");
      assert.equal(await joan.button("Send").count(), 0);
      // What nobody has seen is told again, also after a reload.
      await joan.press("Try again");
      await tells("L4, never below L4");
      await joan.page.reload();
      await tells("L4, never below L4");
      await joan.press("I have seen this");
      await joan.button("Send").waitFor();
      // Once seen it is not told again.
      await joan.page.reload();
      await joan.button("Send").waitFor();
      assert.equal(await joan.page.getByRole("dialog").count(), 0);
    },
  );

  await step("is told before the pad of a wallet that was open meanwhile", async () => {
    await joan.tab("Settings");
    const [first] = witnesses;
    assert.ok(first);
    await change("--remove-witness", first.name, "--witnesses-required", "2");
    await joan.press("Change PIN");
    await tells("2 of 3 must agree", "2 of 2 must agree");
    await joan.press("Cancel");
    await joan.done();
    await joan.press("Change PIN");
    await tells("2 of 2 must agree");
    await joan.press("I have seen this");
    await joan.pin("Enter your PIN", PIN);
    await joan.page.getByText("Choose a new PIN").waitFor();
    await joan.press("Cancel");
  });

  await step("is told before a PIN that was typed meanwhile goes anywhere, and the PIN is asked for anew", async () => {
    let sealed = 0;
    joan.page.on("request", (request) => {
      if (request.url().endsWith("/v1/wallet/sealed") && request.method() === "POST") sealed += 1;
    });
    const dialog = joan.page.getByRole("dialog");
    await joan.press("Change PIN");
    await dialog.getByText("Enter your PIN").waitFor();
    await change("--breaker", "400");
    sealed = 0;
    await joan.pin("Enter your PIN", PIN);
    await tells("2 of 2 must agree");
    assert.equal(sealed, 0);
    await joan.press("I have seen this");
    await joan.pin("Enter your PIN", PIN);
    // So it is with the one in force that waits for the new one.
    await dialog.getByText("Choose a new PIN").waitFor();
    await change("--breaker", "450");
    sealed = 0;
    await joan.pin("Choose a new PIN", NEW_PIN);
    await joan.pin("Enter the new PIN once more", NEW_PIN);
    await tells("2 of 2 must agree");
    assert.equal(sealed, 0);
    await joan.press("I have seen this");
    await dialog.getByText("Enter your PIN").waitFor();
    await joan.press("Cancel");
    await joan.done();
  });

  await step("is told, too, where no fact in words differs", async () => {
    await change("--breaker", "500");
    await joan.press("Change PIN");
    await tells("2 of 2 must agree");
    const marks = joan.page.getByRole("dialog").locator("[data-configuration]");
    assert.equal(await marks.count(), 2);
    assert.notEqual(await marks.first().textContent(), await marks.last().textContent());
    await joan.press("I have seen this");
    await joan.page.getByRole("dialog").getByText("Enter your PIN").waitFor();
    await joan.press("Cancel");
  });
});
