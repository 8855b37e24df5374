/** A wallet without a page, for tests. */

export { type Page, page } from "./page.js";
export { type Answers, code, never, settle, stories } from "./stories.js";
export { type Decide, HeadlessWallet } from "./wallet.js";
