/** A wallet without a page, for tests. */

export { type Page, page } from "./page.js";
export { type Decide, HeadlessWallet } from "./wallet.js";
