/** Attempts on the key: all of them, page by page; and a host that hides, swaps or makes one up is told and gets no PIN. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { argon2InThread, Client, MemoryStore, NewPin, Pin, Policy, system } from "@pinseal/client";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { Browser, type Json, type Person } from "./browser.js";

const PASSWORD = "correct horse 4";
const PIN = "482915";
const HISTORY = "/v1/wallet/history";

type Item = Json & { entry: string; proof: string[] };

test("attempts on the key", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  let up: System;
  let browser: Browser;
  let mary: Person;

  /** A host that changes what it shows of the log. */
  function lie(change: (items: Item[]) => Item[], path = HISTORY): Promise<() => Promise<void>> {
    return browser.lie(up, path, (answer) => ({ ...answer, items: change(answer.items as Item[]) }));
  }

  const tried = () => mary.page.locator("[data-result]");

  async function look(): Promise<void> {
    await mary.tab("Devices");
    await mary.press("All attempts");
    await mary.heading("Attempts");
  }

  /** One more attempt on the key, and nothing else. */
  async function check(pin: string, sees: string | RegExp): Promise<void> {
    await mary.tab("Settings");
    await mary.press("Change PIN");
    await mary.pin("Enter your PIN", pin);
    await mary.page.getByRole("dialog").getByText(sees).first().waitFor();
    await mary.press("Cancel");
    await mary.done();
  }

  /** Told by its code, none shown, and no pad: neither now nor after a reload. */
  async function closes(code: string, sentence: RegExp): Promise<void> {
    await look();
    await mary.sees(`Code: ${code}`);
    await mary.sees(sentence);
    assert.equal(await tried().count(), 0);
    await mary.tab("Settings");
    await mary.press("Change PIN");
    await mary.page.getByRole("dialog").getByText(`Code: ${code}`).waitFor();
    assert.equal(await mary.page.locator(".pad").count(), 0);
    await mary.press("Close");
    await mary.page.reload();
    await mary.heading("Your wallet cannot be opened now");
    await mary.sees(`Code: ${code}`);
  }

  /** An honest answer ends it. */
  async function opens(): Promise<void> {
    await mary.press("Try again");
    await mary.heading("Settings");
    await mary.press("Change PIN");
    await mary.page.getByRole("dialog").getByText("Enter your PIN").waitFor();
    await mary.press("Cancel");
    await mary.done();
  }

  /** Somebody else with a wallet here; what the host has of theirs, proved in the log of any size. */
  async function somebodyElse(email: string): Promise<(size: string) => Promise<Item[]>> {
    let wanted = "";
    let items: Item[] = [];
    const environment = {
      ...system,
      fetch: async (url: string, init?: RequestInit) => {
        const asked = new URL(url);
        if (asked.pathname !== HISTORY) return fetch(url, init);
        asked.searchParams.set("size", wanted);
        const response = await fetch(asked, init);
        ({ items } = (await response.clone().json()) as { items: Item[] });
        return response;
      },
    };
    const { server, app_id: id, app_key: key } = up.ready;
    const policy = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });
    const store = new MemoryStore();
    const client = new Client({ server, app: { id, key }, policy, store, argon2: argon2InThread, environment });
    await client.login.signUp(email, PASSWORD);
    await client.login.verifyEmail(email, await up.mailedCode(email));
    await client.login.logIn(email, PASSWORD);
    const attested = await client.attest();
    await attested.register(NewPin.choose(Pin.parse(PIN)), "device");
    return async (size) => {
      wanted = size;
      // They have read on by then: to them it is a log from before.
      await assert.rejects(attested.history());
      return items;
    };
  }

  before(async () => {
    up = await System.start({ node: true });
    browser = await Browser.open();
    mary = await browser.visit(up);
    await mary.signUp("mary@example.org", PASSWORD);
    await mary.create(PIN);
    await check("135790", /Wrong PIN/);
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("are told with time, device and outcome, among the service's own events", async () => {
    await up.halt();
    up.command("config", "change", "--yes", "--breaker", "500");
    up = await up.again();
    await mary.page.reload();
    await mary.press("I have seen this");
    await look();
    await mary.sees(/these are all there ever were/);
    const said = await mary.page.locator("[data-result], [data-event]").allInnerTexts();
    const plain = said.map((text) => text.replace(/\s+/g, " "));
    const wanted = [
      /^Service started Not an attempt · /,
      /^Configuration changed by the operators Not an attempt · /,
      /^PIN checked This device · .+ Wrong PIN$/,
      /^Wallet created This device · .+ Right PIN$/,
      /^Wallet prepared This device · .+ No PIN tested$/,
      /^Service started Not an attempt · /,
    ];
    // Between the two starts the order to change the configuration is carried out by a start of its own.
    for (const one of wanted)
      assert.ok(
        plain.some((text) => one.test(text)),
        `${one} in ${plain.join(" | ")}`,
      );
    assert.equal(await tried().count(), 3);
  });

  await step("are not shown where one is hidden, and no pad opens until all are", async () => {
    const honest = await lie((items) => items.filter((_, at) => at !== 1));
    await closes("history_incomplete", /left out an attempt on your wallet's key/);
    await mary.press("Try again");
    await mary.sees("Code: history_incomplete");
    await honest();
    await opens();
  });

  await step("are not shown where one is made up", async () => {
    const flipped = (text: string) => text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");
    const honest = await lie((items) =>
      items.map((item, at) => (at === 0 ? { ...item, entry: flipped(item.entry) } : item)),
    );
    await closes("history_forged", /the enclave never signed/);
    await honest();
    await opens();
  });

  await step("are not shown where another user's stand in their place", async () => {
    const ofRuth = await somebodyElse("ruth@example.org");
    const honest = await browser.lie(up, HISTORY, async (answer, query) => ({
      ...answer,
      items: await ofRuth(query.get("size") ?? ""),
    }));
    await closes("history_foreign", /somebody else/);
    await honest();
    await opens();
  });

  await step(
    "come a page at a time, each proved anew, and a lie about an old one is found when it is looked at",
    async () => {
      for (let more = 0; more < 9; more += 1) await check(PIN, "Choose a new PIN");
      await look();
      await mary.sees(/the newest 10, without a gap/);
      assert.equal(await tried().count(), 10);
      // Only who asks for more than the newest ten is shown the oldest write, or not.
      const honest = await browser.lie(up, HISTORY, (answer) => {
        const items = answer.items as Item[];
        return items.length <= 21 ? answer : { ...answer, items: items.slice(0, -1) };
      });
      await mary.press("Show older attempts");
      await mary.sees("Code: history_incomplete");
      assert.equal(await tried().count(), 0);
      // The newest ones alone do not settle it.
      await mary.press("Try again");
      await mary.sees(/the newest 10, without a gap/);
      await mary.tab("Settings");
      await mary.press("Change PIN");
      await mary.page.getByRole("dialog").getByText("Code: history_incomplete").waitFor();
      await mary.press("Close");
      await honest();
      await look();
      await mary.press("Show older attempts");
      await mary.sees(/these are all there ever were/);
      assert.equal(await tried().count(), 12);
    },
  );
});
