import assert from "node:assert/strict";
import { test } from "node:test";
import type { WalletOptions } from "@pinseal/core/wallet";
import { page } from "@pinseal/headless";
import { exampleBody, runWithoutPage, weigh } from "@pinseal/testing";
import { PinsealSDK } from "../src/index.js";

const ROOT = new URL("../../", import.meta.url);
/** Core's app end, the provider and this package together, compressed. */
const BYTES_MAX = 30_000;

test("core, provider and sdk stay within their size, and have nothing of Node's, no console and no storage in them", () => {
  const contents = `import * as provider from "@pinseal/provider"; import * as sdk from "@pinseal/sdk"; globalThis.x = [provider, sdk];`;
  weigh(ROOT, contents, { bytesMin: 5_000, bytesMax: BYTES_MAX });
});

test("importing and making it on a server touches nothing, and init there is a typed error", () => {
  runWithoutPage(
    ROOT,
    ["document", "window", "navigator", "MessageChannel", "localStorage"],
    `
    const { PinsealSDK } = await import("@pinseal/sdk");
    const sdk = new PinsealSDK({ appId: "a", wallet: "https://wallet.example" });
    if ((await sdk.getStatus()) !== "not_initialized") throw new Error("status");
    const code = await sdk.init().catch((error) => error.code);
    if (code !== "no_page") throw new Error(code);
  `,
  );
});

test("the example of the README runs as it stands", async () => {
  const answers: Record<string, unknown> = {
    status: { status: "before_login" },
    login: { status: "pinRequired", userId: "u" },
    register: { status: "complete", userId: "u" },
    accounts: [{ address: "0x", network: "eip155:1" }],
  };
  const stage = page((async (method: string) => answers[method]) as unknown as WalletOptions["answer"]);
  const body = exampleBody(ROOT).replace(/(new PinsealSDK)\(.*\)/, "$1(given)");
  assert.match(body, /given/);
  const run = new Function(
    "given",
    "PinsealSDK",
    `return (async () => { ${body}; sdk.finalize(); return account; })()`,
  );
  assert.deepEqual(await run(stage.options, PinsealSDK), { address: "0x", network: "eip155:1" });
  assert.deepEqual(stage.asked, ["status", "login", "register", "accounts"]);
  stage.stop();
});
