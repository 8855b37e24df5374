// Compiles the package in this directory, its tests and what they stand on, and runs them: `node ../../scripts/package-test.mjs [PARTS]`, where
// PARTS choose files by parts of their names. PINSEAL_PROGRAMS names the directory of `pinseal` and `pinseal-enclaved`; without it the tests
// against the real system are skipped, and say so.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";

const here = process.cwd();
const packages = join(here, "..");
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: here, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

/** Time of the newest file below a directory, or of a file. */
function newest(path) {
  const found = statSync(path);
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(found.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

/** Compiles a package of this workspace and, before it, those that it stands on, unless what was compiled is newer. */
function build(name, done = new Set()) {
  if (done.has(name)) return;
  done.add(name);
  const directory = join(packages, name);
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  for (const needed of Object.keys({ ...dependencies, ...devDependencies })) {
    if (needed.startsWith("@pinseal/")) build(needed.slice("@pinseal/".length), done);
  }
  const made = join(directory, "build/dist.tsbuildinfo");
  const isFresh =
    existsSync(made) && existsSync(join(directory, "dist/index.js")) && newest(made) >= newest(join(directory, "src"));
  if (!isFresh) run(tsc, "-p", join(directory, "tsconfig.json"));
}

build(basename(here));
run(tsc, "-p", "tsconfig.test.json");
const wanted = process.argv.slice(2);
const files = readdirSync(join(here, "test"))
  .filter((file) => file.endsWith(".test.ts"))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .map((file) => `build/test/${file.replace(/\.ts$/, ".js")}`);
run("--test", "--test-concurrency=2", "--test-reporter=spec", ...files);
