/** Writes a picture of every screen, in every language, at 320 and 1280 pixels, light and dark, to the directory in SCREENS. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { System } from "@pinseal/testing";
import { Browser } from "./browser.js";
import { withToken } from "./evm.js";
import { tour, type Visit } from "./tour.js";

const directory = process.env.SCREENS ?? "screens";
mkdirSync(directory, { recursive: true });
let up = await System.start({ node: true, settings: withToken });
const browser = await Browser.open();
try {
  const picture: Visit = async (name, { page }) => {
    for (const language of ["ko", "en"]) {
      // As another tab would change it.
      await page.evaluate(`(() => {
        const key = "pinseal preferences";
        const now = { ...JSON.parse(localStorage.getItem(key) ?? "{}"), language: "${language}" };
        localStorage.setItem(key, JSON.stringify(now));
        dispatchEvent(new StorageEvent("storage", { key }));
      })()`);
      await page.locator(`html[lang=${language}]`).waitFor();
      for (const width of [320, 1280]) {
        await page.setViewportSize({ width, height: width === 320 ? 640 : 900 });
        // As high as all of it: what is fixed to the window's edges would hide what lies there.
        const height = (await page.evaluate(`Math.max(innerHeight, document.documentElement.scrollHeight,
          document.querySelector("dialog[open]")?.scrollHeight ?? 0)`)) as number;
        await page.setViewportSize({ width, height });
        // Chromium's first picture in a new size may lack what is fixed.
        await page.screenshot();
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme });
          const path = join(directory, `${name}-${language}-${width}-${colorScheme}.png`);
          await page.screenshot({ path });
        }
      }
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  };
  await tour(up, browser, picture, (anew) => {
    up = anew;
  });
} finally {
  await browser.close();
  await up.stop();
}
