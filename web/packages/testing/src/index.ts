/** What tests stand on. */

export { chromiumOptions, withoutChromium } from "./chromium.js";
export { STEP_MILLISECONDS, steps, within } from "./steps.js";
export { type NodeError, programs, type StartOptions, System, withoutPrograms } from "./system.js";
