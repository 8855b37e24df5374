import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const ROOT = new URL("../../", import.meta.url);
/** The connector with core and provider, compressed, beside wagmi and viem which the app has. */
const BYTES_MAX = 16_000;

test("the connector stays within its size, and brings neither wagmi nor viem", () => {
  const contents = `import { pinseal } from "@pinseal/wagmi"; globalThis.x = pinseal;`;
  const stdin = { contents, resolveDir: ROOT.pathname };
  const external = ["viem", "@wagmi/core"];
  const { outputFiles } = buildSync({ stdin, bundle: true, minify: true, format: "esm", write: false, external });
  const code = outputFiles[0]?.text ?? "";
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size > 5_000 && size <= BYTES_MAX, `${size} bytes`);
  assert.doesNotMatch(code, /\bBuffer\b|\bprocess\.|node:|require\(|console|@wagmi/);
});

test("the example of the README is made on a server as it stands, and touches nothing there", () => {
  const [, code = ""] = /```ts\n(.*?)```/s.exec(readFileSync(new URL("README.md", ROOT), "utf8")) ?? [];
  const script = `
    for (const name of ["document", "MessageChannel"]) {
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
    }
    ${code.replace("export const", "const")}
    const [connector] = config.connectors;
    if (connector.id !== "pinseal" || (await connector.getChainId()) !== 1) throw new Error(connector.id);
    if (await connector.isAuthorized()) throw new Error("authorized");
  `.replaceAll(/^ +import/gm, "import");
  const imports = script.match(/^import .*$/gm)?.join("\n") ?? "";
  const body = `${imports}\n${script.replaceAll(/^import .*$/gm, "")}`;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", body], {
    cwd: ROOT.pathname,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});
