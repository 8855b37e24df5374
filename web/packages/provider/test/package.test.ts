import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Bridge } from "@pinseal/core";
import type { WalletOptions } from "@pinseal/core/wallet";
import { page } from "@pinseal/headless";
import { buildSync } from "esbuild";

const ROOT = new URL("../../", import.meta.url);
/** Core's app end and this package together, compressed. */
const BYTES_MAX = 15_000;

test("core and provider stay within their size, and have nothing of Node's and no console in them", () => {
  const contents = `import * as core from "@pinseal/core"; import * as provider from "@pinseal/provider"; globalThis.x = [core, provider];`;
  const stdin = { contents, resolveDir: ROOT.pathname };
  const { outputFiles } = buildSync({ stdin, bundle: true, minify: true, format: "esm", write: false });
  const code = outputFiles[0]?.text ?? "";
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size > 4_000 && size <= BYTES_MAX, `${size} bytes`);
  assert.doesNotMatch(code, /\bBuffer\b|\bprocess\.|node:|require\(|console/);
});

test("importing it on a server touches nothing, and a request there is a typed error", () => {
  const script = `
    for (const name of ["document", "window", "navigator", "MessageChannel", "addEventListener"]) {
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
    }
    const { Bridge } = await import("@pinseal/core");
    const { getProvider, announce } = await import("@pinseal/provider");
    Object.defineProperty(globalThis, "addEventListener", { value: undefined });
    const provider = getProvider(new Bridge({ appId: "a", wallet: "https://wallet.example" }), "ethereum");
    announce(provider, { name: "x", icon: "data:image/svg+xml,", rdns: "example.x" })();
    if ((await provider.request({ method: "eth_chainId" })) !== "0x1") throw new Error("chain");
    const code = await provider.request({ method: "eth_requestAccounts" }).catch((error) => error.code);
    if (code !== 4900) throw new Error(code);
  `.replace(`, "addEventListener"]`, "]");
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: ROOT.pathname,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});

test("the example of the README runs as it stands", async () => {
  const [, code = ""] = /```ts\n(.*?)```/s.exec(readFileSync(new URL("README.md", ROOT), "utf8")) ?? [];
  const A = `0x${"aa".repeat(20)}`;
  const answers: Record<string, unknown> = {
    login: { status: "complete", userId: "u" },
    accounts: [{ address: A, network: "eip155:1" }],
    "evm.signMessage": `0x${"ab".repeat(65)}`,
  };
  const stage = page((async (method: string) => answers[method]) as unknown as WalletOptions["answer"]);
  const bridge = new Bridge(stage.options);
  const body = code.replace(/^import .*$/gm, "").replace(/new Bridge\(.*\)/, "given");
  const run = new Function("given", "getProvider", `return (async () => { ${body}; return signature; })()`);
  const { getProvider } = await import("../src/index.js");
  assert.equal(await run(bridge, getProvider), answers["evm.signMessage"]);
  stage.stop(bridge);
});
