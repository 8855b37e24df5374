import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const ROOT = new URL("../../", import.meta.url);
/** The app's end, compressed: less than half of what core and provider may cost together. */
const BYTES_MAX = 6_000;

test("the app's end stays within its size, and has nothing of Node's and no console in it", () => {
  const entry = new URL("dist/index.js", ROOT).pathname;
  const { outputFiles } = buildSync({ entryPoints: [entry], bundle: true, minify: true, format: "esm", write: false });
  const code = outputFiles[0]?.text ?? "";
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size > 1_000 && size <= BYTES_MAX, `${size} bytes`);
  assert.doesNotMatch(code, /\bBuffer\b|\bprocess\.|node:|require\(|console/);
});

test("importing either end on a server touches nothing, and a request there is a typed error", () => {
  const script = `
    for (const name of ["document", "window", "navigator", "MessageChannel"]) {
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
    }
    const { Bridge } = await import(${JSON.stringify(new URL("dist/index.js", ROOT).href)});
    await import(${JSON.stringify(new URL("dist/wallet/index.js", ROOT).href)});
    const bridge = new Bridge({ appId: "a", wallet: "https://wallet.example" });
    const code = await bridge.request("status", {}).catch((error) => error.code);
    if (code !== "no_page") throw new Error(code);
  `;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});
