/** What tests stand on. */

export { chromiumOptions, withoutChromium } from "./chromium.js";
export { example, exampleBody, runWithoutPage, type Weight, weigh } from "./package.js";
export { STEP_MILLISECONDS, steps, within } from "./steps.js";
export { type NodeError, programs, type StartOptions, System, withoutPrograms } from "./system.js";
