// Bundles the package as an app would and says what it costs, gzip -9. `node scripts/size.mjs` prints it.
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));

async function bundle(options) {
  const { outputFiles } = await build({
    absWorkingDir: here,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    ...options,
  });
  return outputFiles.map(({ text }) => text);
}

function gzip(texts) {
  return texts.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);
}

function entry(contents) {
  return { stdin: { contents, resolveDir: here, loader: "js" } };
}

/** Compressed bytes of each part, and the text of the main one. */
export async function sizes() {
  // What computes Argon2id lies in the worker; the page loads its own copy only where there are no workers.
  const main = await bundle({
    ...entry('import * as client from "./dist/index.js"; globalThis.client = client;'),
    external: ["hash-wasm"],
  });
  const worker = await bundle({ entryPoints: ["dist/pin/argon2-worker.js"] });
  const evidence = await bundle(
    entry('import { Policy, verifyEvidence } from "./dist/index.js"; globalThis.x = [Policy, verifyEvidence];'),
  );
  const address = await bundle(entry('import { parseAddress } from "./dist/index.js"; globalThis.x = parseAddress;'));
  return {
    text: main.join(""),
    bytes: {
      "everything but Argon2id": gzip(main),
      "Argon2id, in its worker": gzip(worker),
      "evidence alone": gzip(evidence),
      "addresses alone": gzip(address),
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log((await sizes()).bytes);
