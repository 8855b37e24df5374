/** A pad on a slow processor: what its budget says, and how it is measured. */

import type { Person } from "./browser.js";

/** A pad that somebody asked for takes digits within this, on a processor so many times slower. */
export const PAD_MILLISECONDS_MAX = 1000;
export const THROTTLE = 4;

/** Milliseconds from the press that asks for a pad to one that takes digits. */
export async function padOnSlowProcessor(person: Person): Promise<number> {
  const session = await person.page.context().newCDPSession(person.page);
  await session.send("Emulation.setCPUThrottlingRate", { rate: THROTTLE });
  await person.tab("Settings");
  await person.button("Change PIN").waitFor();
  await person.page.evaluate(
    `addEventListener("click", () => { globalThis.pressed = performance.now(); }, { once: true, capture: true })`,
  );
  await person.press("Change PIN");
  await person.page.locator(".key:not(:disabled)").first().waitFor();
  const opened = await person.page.evaluate(
    `(performance.getEntriesByName("pinseal pad").at(-1)?.startTime ?? NaN) - globalThis.pressed`,
  );
  await session.send("Emulation.setCPUThrottlingRate", { rate: 1 });
  await session.detach();
  await person.press("Cancel");
  await person.done();
  return opened as number;
}
