// Compiles packages of this workspace, and runs compiled tests.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const packages = fileURLToPath(new URL("../packages", import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
/** A test file that takes longer than this waits for something that does not come. */
const FILE_MILLISECONDS = 600_000;

/** Runs Node in a directory; ends this process where that fails. */
export function node(cwd, ...args) {
  const { status } = spawnSync(process.execPath, args, { cwd, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

export function compile(cwd, project) {
  node(cwd, tsc, "-p", project);
}

/** Time of the newest file below a directory, or of a file. */
function newest(path) {
  const found = statSync(path);
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(found.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

/** Compiles the packages of this workspace that the one in a directory stands on, those first that others need, unless what was compiled is newer. */
export function buildNeeded(directory, done = new Set()) {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  for (const needed of Object.keys({ ...dependencies, ...devDependencies })) {
    if (needed.startsWith("@pinseal/")) build(join(packages, needed.slice("@pinseal/".length)), done);
  }
}

/** Compiles a package and, before it, those that it stands on. */
export function build(directory, done = new Set()) {
  if (done.has(directory)) return;
  done.add(directory);
  buildNeeded(directory, done);
  const made = join(directory, "build/dist.tsbuildinfo");
  const isFresh =
    existsSync(made) && existsSync(join(directory, "dist/index.js")) && newest(made) >= newest(join(directory, "src"));
  if (!isFresh) compile(directory, "tsconfig.json");
}

/** Compiled files of a package whose source is gone: the compiler leaves them, and npm would pack them. */
export function leftovers(directory) {
  const made = readdirSync(join(directory, "dist"), { recursive: true, withFileTypes: true });
  return made
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter(
      (path) =>
        !existsSync(path.replace(join(directory, "dist"), join(directory, "src")).replace(/(\.d\.ts|\.js)$/, ".ts")),
    );
}

/** Removes them. */
export function sweep(directory) {
  for (const path of leftovers(directory)) rmSync(path);
}

/** Runs the compiled tests of a directory whose files' names contain one of these parts, all where there is none. */
export function runTests(directory, parts) {
  const files = readdirSync(join(directory, "test"))
    .filter((file) => file.endsWith(".test.ts"))
    .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)))
    .map((file) => `build/test/${file.replace(/\.ts$/, ".js")}`);
  // Most of their time they wait: for blocks, for the next look, for a frame to be drawn.
  const bounds = [`--test-timeout=${FILE_MILLISECONDS}`, "--test-force-exit"];
  node(directory, "--test", "--test-concurrency=3", ...bounds, "--test-reporter=spec", ...files);
}
