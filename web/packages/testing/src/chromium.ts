/** Chromium as tests start it: without a window, and without anything that it would ask of other machines by itself. */

import { existsSync } from "node:fs";

const PATH = process.env.PINSEAL_CHROMIUM ?? "/usr/bin/chromium";

/** Why the tests of this kind are skipped, if they are. */
export const withoutChromium = existsSync(PATH) ? false : `there is no ${PATH}`;

/** Options for Playwright. */
export const chromiumOptions = {
  executablePath: PATH,
  headless: true,
  // Without this Playwright switches the blocker off, and pages may open windows that nobody asked for.
  ignoreDefaultArgs: ["--disable-popup-blocking"],
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};
