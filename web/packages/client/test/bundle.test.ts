import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

const ROOT = new URL("../../", import.meta.url);
const SIZES = new URL("size.json", ROOT);
/** What the whole client may cost a page, of the 120 kB that the wallet page has in all. */
const BYTES_MAX = 71_000;
/** How far a size may lie from the written one before it is written anew. */
const DRIFT_MAX = 0.02;

interface Sizes {
  text: string;
  bytes: Record<string, number>;
}

async function measure(): Promise<Sizes> {
  const script = new URL("scripts/size.mjs", ROOT).href;
  return ((await import(script)) as { sizes(): Promise<Sizes> }).sizes();
}

test("the compressed bundle is as small as it is written down, and within its bound", async () => {
  const { bytes, text } = await measure();
  const whole = (bytes["everything but Argon2id"] ?? 0) + (bytes["Argon2id, in its worker"] ?? 0);
  assert.ok(whole > 20_000 && whole <= BYTES_MAX, `${whole} bytes`);
  if (process.env.UPDATE) writeFileSync(SIZES, `${JSON.stringify(bytes, null, 2)}\n`);
  const written = JSON.parse(readFileSync(SIZES, "utf8")) as Record<string, number>;
  assert.deepEqual(Object.keys(bytes), Object.keys(written));
  for (const [part, size] of Object.entries(bytes)) {
    const was = written[part] ?? 0;
    assert.ok(
      Math.abs(size - was) <= was * DRIFT_MAX,
      `${part}: ${size} bytes, not ${was}; UPDATE=1 writes size.json anew`,
    );
  }
  assert.doesNotMatch(text, /\bBuffer\b|\bprocess\.|node:|require\(/, "nothing of Node's is in the bundle");
});

test("importing the package touches nothing: no clock, no network, no storage, no crypto", () => {
  const script = `
    const gone = ["crypto", "fetch", "indexedDB", "navigator", "Worker", "localStorage", "document", "window", "setTimeout"];
    for (const name of gone) Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
    const { Client, MemoryStore, Policy } = await import(${JSON.stringify(new URL("dist/index.js", ROOT).href)});
    const policy = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });
    new Client({ server: "https://x.example", app: { id: "a", key: "k" }, policy, store: new MemoryStore() });
  `;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});
