// Builds the page into dist/ and prints the hash of its files, as `sha256sum` over `sha256sum`'s lines gives it; `pinseal status` shows the
// same of the page it serves. `node scripts/build.mjs DIRECTORY` builds elsewhere. The same sources give the same bytes.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const here = fileURLToPath(new URL("..", import.meta.url));
const PACKED = /\.(html|js|css|svg)$/;

/** Every file below a directory but those whose names begin with a dot, by its path, in order. */
export function filesOf(directory, below = "") {
  const entries = readdirSync(join(directory, below), { withFileTypes: true });
  const names = entries.filter(({ name }) => !name.startsWith(".")).map((entry) => [join(below, entry.name), entry]);
  return names.flatMap(([path, entry]) => (entry.isDirectory() ? filesOf(directory, path) : [path])).sort();
}

/** The hash that a release names. */
export function hashOf(directory) {
  const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
  const names = filesOf(directory).filter((name) => !name.endsWith(".gz"));
  return sha256(names.map((name) => `${sha256(readFileSync(join(directory, name)))}  ${name}\n`).join(""));
}

/** Builds the page into a directory, which is emptied first. */
export async function buildPage(directory) {
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(directory).filter((name) => !name.startsWith("."))) {
    rmSync(join(directory, name), { recursive: true });
  }
  await build({
    configFile: join(here, "vite.config.ts"),
    logLevel: "error",
    build: { outDir: directory },
  });
  for (const name of filesOf(directory).filter((name) => PACKED.test(name))) {
    const bytes = readFileSync(join(directory, name));
    const packed = gzipSync(bytes, { level: 9 });
    if (packed.length < bytes.length) writeFileSync(join(directory, `${name}.gz`), packed);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.json"], { cwd: here, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
  const directory = resolve(process.argv[2] ?? join(here, "dist"));
  await buildPage(directory);
  console.log(`wallet page: sha256 ${hashOf(directory)}`);
}
