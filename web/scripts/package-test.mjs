// Compiles the package in this directory, its tests and what they stand on, and runs them: `node ../../scripts/package-test.mjs [PARTS]`, where
// PARTS choose files by parts of their names. PINSEAL_PROGRAMS names the directory of `pinseal` and `pinseal-enclaved`; without it the tests
// against the real system are skipped, and say so.
import { build, compile, runTests } from "./packages.mjs";

const here = process.cwd();
build(here);
compile(here, "tsconfig.test.json");
runTests(here, process.argv.slice(2));
