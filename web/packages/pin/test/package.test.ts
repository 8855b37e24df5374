import assert from "node:assert/strict";
import { test } from "node:test";
import type { WalletOptions } from "@pinseal/core/wallet";
import { page } from "@pinseal/headless";
import { exampleBody, runWithoutPage, weigh } from "@pinseal/testing";
import { PinsealPin } from "../src/index.js";

const ROOT = new URL("../../", import.meta.url);
/** This package with core's app end, compressed. */
const BYTES_MAX = 7_000;

test("the pad stays within its size, and has nothing of Node's, no console and no storage in it", () => {
  const contents = `import * as pin from "@pinseal/pin"; globalThis.x = pin;`;
  weigh(ROOT, contents, { bytesMin: 2_000, bytesMax: BYTES_MAX });
});

test("importing it on a server touches nothing, naming the element there does nothing, and a request is a typed error", () => {
  runWithoutPage(
    ROOT,
    ["document", "window", "navigator", "MessageChannel", "HTMLElement", "CSSStyleSheet"],
    `
    const { definePin, PinsealPin } = await import("@pinseal/pin");
    definePin();
    const pin = new PinsealPin({ appId: "a", wallet: "https://wallet.example" });
    for (const act of ["register", "authenticate", "change"]) {
      const code = await pin[act]().catch((error) => error.code);
      if (code !== "no_page") throw new Error(act + " " + code);
    }
    pin.finalize();
  `,
  );
});

test("the example without an element runs as it stands", async () => {
  const stage = page((async () => "done") as unknown as WalletOptions["answer"]);
  const body = exampleBody(ROOT, 1).replace(/(new PinsealPin)\(.*\)/, "$1(given)");
  assert.match(body, /given/);
  const pin = await new Function("given", "PinsealPin", `return (async () => { ${body}; return pin; })()`)(
    stage.options,
    PinsealPin,
  );
  assert.deepEqual(stage.asked, ["pin.verify"]);
  stage.stop(pin.bridge);
});
