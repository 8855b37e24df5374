import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { WalletOptions } from "@pinseal/core/wallet";
import { page } from "@pinseal/headless";
import { buildSync } from "esbuild";
import { PinsealPin } from "../src/index.js";

const ROOT = new URL("../../", import.meta.url);
/** This package with core's app end, compressed. */
const BYTES_MAX = 7_000;

test("the pad stays within its size, and has nothing of Node's, no console and no storage in it", () => {
  const contents = `import * as pin from "@pinseal/pin"; globalThis.x = pin;`;
  const stdin = { contents, resolveDir: ROOT.pathname };
  const { outputFiles } = buildSync({ stdin, bundle: true, minify: true, format: "esm", write: false });
  const code = outputFiles[0]?.text ?? "";
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size > 2_000 && size <= BYTES_MAX, `${size} bytes`);
  assert.doesNotMatch(code, /\bBuffer\b|\bprocess\.|node:|require\(|console|localStorage|sessionStorage|indexedDB/);
});

test("importing it on a server touches nothing, naming the element there does nothing, and a request is a typed error", () => {
  const script = `
    for (const name of ["document", "window", "navigator", "MessageChannel", "HTMLElement", "CSSStyleSheet"]) {
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
    }
    const { definePin, PinsealPin } = await import("@pinseal/pin");
    definePin();
    const pin = new PinsealPin({ appId: "a", wallet: "https://wallet.example" });
    for (const act of ["register", "authenticate", "change"]) {
      const code = await pin[act]().catch((error) => error.code);
      if (code !== "no_page") throw new Error(act + " " + code);
    }
    pin.finalize();
  `;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: ROOT.pathname,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});

test("the example without an element runs as it stands", async () => {
  const [, , code = ""] = readFileSync(new URL("README.md", ROOT), "utf8").split("```ts\n");
  const [example = ""] = code.split("```");
  const stage = page((async () => "done") as unknown as WalletOptions["answer"]);
  const body = example.replace(/^import .*$/gm, "").replace(/(new PinsealPin)\(.*\)/, "$1(given)");
  assert.match(body, /given/);
  const pin = await new Function("given", "PinsealPin", `return (async () => { ${body}; return pin; })()`)(
    stage.options,
    PinsealPin,
  );
  assert.deepEqual(stage.asked, ["pin.verify"]);
  stage.stop(pin.bridge);
});
