import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "@pinseal/core";
import type { WalletOptions } from "@pinseal/core/wallet";
import { page } from "@pinseal/headless";
import { exampleBody, runWithoutPage, weigh } from "@pinseal/testing";

const ROOT = new URL("../../", import.meta.url);
/** Core's app end and this package together, compressed. */
const BYTES_MAX = 15_000;

test("core and provider stay within their size, and have nothing of Node's, no console and no storage in them", () => {
  const contents = `import * as core from "@pinseal/core"; import * as provider from "@pinseal/provider"; globalThis.x = [core, provider];`;
  weigh(ROOT, contents, { bytesMin: 4_000, bytesMax: BYTES_MAX });
});

test("importing it on a server touches nothing, and a request there is a typed error", () => {
  runWithoutPage(
    ROOT,
    ["document", "window", "navigator", "MessageChannel"],
    `
    const { Bridge } = await import("@pinseal/core");
    const { getProvider, announce } = await import("@pinseal/provider");
    Object.defineProperty(globalThis, "addEventListener", { value: undefined });
    const provider = getProvider(new Bridge({ appId: "a", wallet: "https://wallet.example" }), "ethereum");
    announce(provider, { name: "x", icon: "data:image/svg+xml,", rdns: "example.x" })();
    if ((await provider.request({ method: "eth_chainId" })) !== "0x1") throw new Error("chain");
    const code = await provider.request({ method: "eth_requestAccounts" }).catch((error) => error.code);
    if (code !== 4900) throw new Error(code);
  `,
  );
});

test("the example of the README runs as it stands", async () => {
  const A = `0x${"aa".repeat(20)}`;
  const answers: Record<string, unknown> = {
    login: { status: "complete", userId: "u" },
    accounts: [{ address: A, network: "eip155:1" }],
    "evm.signMessage": `0x${"ab".repeat(65)}`,
  };
  const stage = page((async (method: string) => answers[method]) as unknown as WalletOptions["answer"]);
  const bridge = new Bridge(stage.options);
  const body = exampleBody(ROOT).replace(/new Bridge\(.*\)/, "given");
  const run = new Function("given", "getProvider", `return (async () => { ${body}; return signature; })()`);
  const { getProvider } = await import("../src/index.js");
  assert.equal(await run(bridge, getProvider), answers["evm.signMessage"]);
  stage.stop(bridge);
});
