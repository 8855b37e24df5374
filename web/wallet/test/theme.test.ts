/** An app in its own colours: what of them the page takes on, and what never changes. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { axe, Browser, Person } from "./browser.js";
import { permit } from "./evm.js";
import { drawLogo } from "./logo.js";
import { type AppPage, Shop } from "./shop.js";

const PIN = "482915";
const NETWORK = "eip155:31337";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/** What is drawn of an element, but for where it stands. */
const DRAWN = [
  "color",
  "background-color",
  "border-color",
  "outline-color",
  "opacity",
  "font-size",
  "font-weight",
  "display",
  "visibility",
];

let up: System;
let browser: Browser;
let shop: Shop;
let page: AppPage;
let app: string;

/** The wallet's window that this opens. */
async function asked(method: string, params: object = {}): Promise<Person> {
  const opening = browser.context.waitForEvent("page");
  const { told } = await page.click(method, params);
  told.catch(() => undefined); // What it comes to is another test's.
  const window = await opening;
  window.setDefaultTimeout(15_000);
  return new Person(window, up);
}

/** How everything below is drawn, as it is and without the app's accent. */
function drawn({ page }: Person, below: string): Promise<[string[], string[]]> {
  return page.evaluate(`(() => {
    const read = () => [...document.querySelectorAll(${JSON.stringify(below)})].map((each) => {
      const style = getComputedStyle(each);
      return each.tagName + " " + each.className + " " + ${JSON.stringify(DRAWN)}.map((name) => style.getPropertyValue(name)).join(" ");
    });
    const { dataset } = document.documentElement;
    const themed = read();
    delete dataset.accent;
    const plain = read();
    dataset.accent = "app";
    return [themed, plain];
  })()`) as Promise<[string[], string[]]>;
}

const colour = ({ page }: Person, of: string) =>
  page
    .locator(of)
    .first()
    .evaluate((element) => getComputedStyle(element).color);

test("an app's theme", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    [up, browser, shop] = await Promise.all([System.start({ node: true }), Browser.open(), Shop.open()]);
    const origin = shop.origin("shop.localhost");
    const logo = join(up.directory, "logo.png");
    drawLogo(logo);
    const look = ["--accent", "#8a1c5a", "--logo", logo];
    app = up.createApp("Corner Shop", "--origin", origin, ...look);
    page = await shop.visit(browser, "shop.localhost", { app, wallet: up.page, way: "popup" });
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), shop?.close()]);
  });

  await step(
    "its colour and its logo are on the page that is open for it, and the pad keeps the wallet's own",
    async () => {
      const ada = await asked("login");
      await ada.heading("Log in");
      assert.equal(await colour(ada, ".link"), "rgb(138, 28, 90)");
      const logo = ada.page.locator(".visitor img");
      await logo.waitFor();
      assert.equal(await logo.evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth), 64);
      await ada.signUp("ada@example.org", "correct horse 1");
      await ada.press("Choose a PIN");
      await ada.page.locator(".key:not(:disabled)").first().waitFor();
      const [themed, plain] = await drawn(ada, "dialog, dialog *");
      assert.ok(themed.length > 30);
      assert.deepEqual(themed, plain);
      await ada.pin("Choose a new PIN", PIN);
      await ada.pin("Enter the new PIN once more", PIN);
      await ada.heading("Connect to Corner Shop?");
      await ada.press("Connect");
      await closed(ada);
    },
  );

  await step("warnings and what is signed look the same in any colour", async () => {
    const [{ address }] = (await known()) as [{ address: string }];
    const typedData = JSON.stringify(permit(address, TO, 1));
    const ada = await asked("evm.signTypedData", { network: NETWORK, address, typedData });
    await ada.heading("Review");
    const [themed, plain] = await drawn(
      ada,
      "main .card .notice, main .card .notice *, main .card p, main .card dl, main .card dl *",
    );
    assert.ok(themed.length > 20);
    assert.deepEqual(themed, plain);
    const [coloured, uncoloured] = await drawn(ada, ".button.primary");
    assert.notDeepEqual(coloured, uncoloured, "and yet the colour is there");
    await ada.press("Reject");
    await closed(ada);
  });

  await step("the faintest colours that are taken can be read, as axe-core says", async () => {
    const nearest = (colour: string) => {
      const refused = up.refused("app", "theme", "--app", app, "--accent", colour);
      const [, found] = /: (#[0-9a-f]{6}) would do/.exec(refused) ?? [];
      assert.ok(found, refused);
      return found;
    };
    for (const colour of ["#ffcc00", "#00b37d", "#ff5a36"]) {
      up.command("app", "theme", "--app", app, "--accent", nearest(colour));
      const ada = await asked("open");
      await ada.button("Send").waitFor();
      for (const scheme of ["light", "dark"] as const) {
        await ada.page.emulateMedia({ colorScheme: scheme });
        assert.deepEqual(await axe(ada.page, ["color-contrast"]), [], `${colour} ${scheme}`);
      }
      await ada.tab("Settings");
      assert.deepEqual(await axe(ada.page, ["color-contrast"]), [], colour);
      await ada.press("Close the wallet");
      await closed(ada);
    }
  });

  await step("a colour is in no other app's page, nor in its owner's", async () => {
    const own = await browser.visit(up);
    await own.button("Send").waitFor();
    assert.equal(await own.page.locator("html[data-accent]").count(), 0);
    assert.equal(await own.page.locator("img").count(), 0);
    assert.deepEqual(browser.complaints, []);
  });
});

/** Until the window is closed, as it is once nothing more is asked of it. */
async function closed({ page }: Person): Promise<void> {
  if (!page.isClosed()) await page.waitForEvent("close");
}

/** The accounts that the app may see, asked while the wallet's window is open. */
async function known(): Promise<unknown> {
  const ada = await asked("open");
  const accounts = await page.result("accounts", { networks: [NETWORK] });
  await ada.press("Close the wallet");
  await closed(ada);
  return accounts;
}
