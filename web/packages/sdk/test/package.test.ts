import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { WalletOptions } from "@pinseal/core/wallet";
import { page } from "@pinseal/headless";
import { buildSync } from "esbuild";
import { PinsealSDK } from "../src/index.js";

const ROOT = new URL("../../", import.meta.url);
/** Core's app end, the provider and this package together, compressed. */
const BYTES_MAX = 30_000;

test("core, provider and sdk stay within their size, and have nothing of Node's and no console in them", () => {
  const contents = `import * as provider from "@pinseal/provider"; import * as sdk from "@pinseal/sdk"; globalThis.x = [provider, sdk];`;
  const stdin = { contents, resolveDir: ROOT.pathname };
  const { outputFiles } = buildSync({ stdin, bundle: true, minify: true, format: "esm", write: false });
  const code = outputFiles[0]?.text ?? "";
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size > 5_000 && size <= BYTES_MAX, `${size} bytes`);
  assert.doesNotMatch(code, /\bBuffer\b|\bprocess\.|node:|require\(|console|localStorage|sessionStorage|indexedDB/);
});

test("importing and making it on a server touches nothing, and init there is a typed error", () => {
  const script = `
    for (const name of ["document", "window", "navigator", "MessageChannel", "localStorage"]) {
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
    }
    const { PinsealSDK } = await import("@pinseal/sdk");
    const sdk = new PinsealSDK({ appId: "a", wallet: "https://wallet.example" });
    if ((await sdk.getStatus()) !== "not_initialized") throw new Error("status");
    const code = await sdk.init().catch((error) => error.code);
    if (code !== "no_page") throw new Error(code);
  `;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: ROOT.pathname,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});

test("the example of the README runs as it stands", async () => {
  const [, code = ""] = /```ts\n(.*?)```/s.exec(readFileSync(new URL("README.md", ROOT), "utf8")) ?? [];
  const answers: Record<string, unknown> = {
    status: { status: "before_login" },
    login: { status: "pinRequired", userId: "u" },
    register: { status: "complete", userId: "u" },
    accounts: [{ address: "0x", network: "eip155:1" }],
  };
  const stage = page((async (method: string) => answers[method]) as unknown as WalletOptions["answer"]);
  const body = code.replace(/^import .*$/gm, "").replace(/(new PinsealSDK)\(.*\)/, "$1(given)");
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
