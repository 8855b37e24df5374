/** What a compiler holds apps to: a pad takes no digits and gives none. */
import { test } from "node:test";
import type { PinsealPinElement } from "../src/index.js";
import { PinsealPin } from "../src/index.js";

test("the pad's types take no PIN and give none, and the element is known by its name", () => {
  const pad = new PinsealPin({ appId: "my-app", wallet: "https://wallet.example/" });
  const found = (page: Document): PinsealPinElement | null => page.querySelector("pinseal-pin");
  async () => {
    const nothing: Promise<void> = pad.authenticate({ signal: AbortSignal.timeout(1) });
    const signature: string = await pad.approve("evm.signMessage", {
      network: "eip155:1",
      address: `0x${"11".repeat(20)}`,
      message: "0x68",
    });
    // @ts-expect-error: no PIN is handed over
    await pad.authenticate("482915");
    // @ts-expect-error: nor how many blocks are wanted
    await pad.authenticate(2);
    // @ts-expect-error: what needs no PIN is approved by none
    await pad.approve("status", {});
    // @ts-expect-error: a request without its network
    await pad.approve("evm.signMessage", { address: "0x", message: "0x68" });
    return [nothing, signature, found];
  };
});
