// Compiles the page's tests and runs them, the journeys in Chromium against the programs in PINSEAL_PROGRAMS; without it those are skipped,
// and say so. Names choose test files; `--screens` writes pictures of every screen, `--bench` measures
// the page instead (see the Makefile).
import { fileURLToPath } from "node:url";
import { buildNeeded, compile, node, runTests } from "../../scripts/packages.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const wanted = process.argv.slice(2);
buildNeeded(here);
compile(here, "tsconfig.test.json");
if (wanted.includes("--screens")) node(here, "build/test/screens.js");
else if (wanted.includes("--bench")) node(here, "build/test/bench.js");
else runTests(here, wanted);
