// Compiles the page's tests and runs them, the journeys in Chromium against the programs in PINSEAL_PROGRAMS; without it those are skipped,
// and say so. Names choose test files; `--screens` writes pictures of every screen, `--bench` measures
// the page instead (see the Makefile).
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: here, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

run(tsc, "-p", "tsconfig.test.json");
const wanted = process.argv.slice(2);
if (wanted.includes("--screens")) {
  run("build/test/screens.js");
} else if (wanted.includes("--bench")) {
  run("build/test/bench.js");
} else {
  const files = readdirSync(new URL("../test", import.meta.url))
    .filter((name) => name.endsWith(".test.ts"))
    .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
    .map((name) => `build/test/${name.replace(/\.ts$/, ".js")}`);
  run("--test", "--test-concurrency=2", "--test-reporter=spec", ...files);
}
