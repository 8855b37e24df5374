// Compiles the package, what it stands on and its tests, and runs them. Arguments choose the files by parts of their names. PINSEAL_PROGRAMS
// names the directory of `pinseal` and `pinseal-enclaved`; without it the tests against the real system are skipped, and say so.
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

for (const needed of ["../client", "../core", "../headless", "."]) run(tsc, "-p", `${needed}/tsconfig.json`);
run(tsc, "-p", "tsconfig.test.json");
const wanted = process.argv.slice(2);
const files = readdirSync(new URL("../test", import.meta.url))
  .filter((name) => name.endsWith(".test.ts"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .map((name) => `build/test/${name.replace(/\.ts$/, ".js")}`);
run("--test", "--test-concurrency=2", "--test-reporter=spec", ...files);
