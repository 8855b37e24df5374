/** Every screen for everybody: what axe-core finds, at 320 pixels, in the dark; and a keyboard alone. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { axe, Browser, type Person } from "./browser.js";
import { withToken } from "./evm.js";
import { tour, type Visit } from "./tour.js";

/** Rules whose answer depends on colours and on the room there is. */
const LAYOUT = ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block"];

/** Each way, of what is pressed with a thumb (WCAG 2.2, target size enhanced). */
const THUMB_PIXELS = 44;

let up: System;
let browser: Browser;

async function overflow({ page }: Person): Promise<number> {
  return (await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")) as number;
}

/** What somebody presses and a thumb would miss, by its text. */
async function small({ page }: Person): Promise<string[]> {
  return (await page.evaluate(`[...document.querySelectorAll("button, a[href], summary, select, label.check, label.tier")]
    .map((each) => ({ each, room: each.getBoundingClientRect() }))
    .filter(({ room }) => room.width > 0 && Math.min(Math.ceil(room.width), Math.ceil(room.height)) < ${THUMB_PIXELS})
    .map(({ each, room }) => (each.ariaLabel ?? each.textContent) + " " + room.width + " by " + room.height)`)) as string[];
}

/** Tab until the element with this name has the focus. */
async function tabTo({ page }: Person, name: string): Promise<void> {
  const focused = `(() => { const e = document.activeElement; return e?.getAttribute("aria-label") ?? e?.labels?.[0]?.textContent ?? e?.textContent ?? ""; })()`;
  for (let presses = 0; presses < 40; presses += 1) {
    if (((await page.evaluate(focused)) as string).trim() === name) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`${name} is not reached by Tab`);
}

test("every screen", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    up = await System.start({ node: true, settings: withToken });
    browser = await Browser.open();
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("has nothing that axe-core finds, in light and dark, and fits 320 pixels and a thumb", async () => {
    const found: string[] = [];
    const seen: string[] = [];
    const look: Visit = async (name, person) => {
      seen.push(name);
      for (const [width, colorScheme] of [[1280, "light"] as const, [320, "dark"] as const]) {
        await person.page.emulateMedia({ colorScheme });
        await person.page.setViewportSize({ width, height: 900 });
        found.push(
          ...(await axe(person.page, width === 320 ? LAYOUT : undefined)).map(
            (violation) => `${name} ${width} ${colorScheme}: ${violation}`,
          ),
        );
        if ((await overflow(person)) > 0) found.push(`${name} is wider than ${width}`);
        if (width === 320) found.push(...(await small(person)).map((each) => `${name}: ${each} is too small`));
      }
      await person.page.setViewportSize({ width: 1280, height: 900 });
    };
    await tour(up, browser, look, (anew) => {
      up = anew;
    });
    assert.ok(seen.length > 20);
    assert.deepEqual(found, []);
  });

  await step("is used with a keyboard alone", async () => {
    const person = await browser.visit(up);
    const { keyboard } = person.page;
    await person.button("Send").waitFor();
    await tabTo(person, "Send");
    await keyboard.press("Enter");
    await person.heading("Send");
    await tabTo(person, "To");
    await keyboard.type("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    await tabTo(person, "Amount");
    await keyboard.type("0.01");
    await keyboard.press("Enter");
    await person.heading("Review");
    await tabTo(person, "Approve with PIN");
    await keyboard.press("Enter");
    await person.pin("Enter your PIN", "482915");
    await person.mined();
    await tabTo(person, "Done");
    await keyboard.press("Enter");
    await person.page.locator("[data-balance]").waitFor();
  });
});
