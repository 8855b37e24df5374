// What npm and its readers would get of every package that is published: `publint` on the files, `@arethetypeswrong/core` on the types, every
// file with its source, and bundlers that take what is used and nothing else. The packages are ESM alone, so that what CommonJS would see is not
// asked. They have to be built before.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { buildSync } from "esbuild";
import { publint } from "publint";

const ESM = new Set(["node16-esm", "bundler"]);
const packages = fileURLToPath(new URL("../packages/", import.meta.url));
const complaints = [];
/** The smallest thing of each package, which nothing else of it may come with. */
const SMALLEST = {
  client: "WrongPinError",
  core: "BridgeError",
  login: "LoginError",
  pin: "BridgeError",
  provider: "RPC",
  sdk: "SdkError",
  wagmi: undefined,
};
/** Characters of its bundle, minified: an error's class, or a table of codes. */
const SMALLEST_MAX = 1_200;

/** What a bundler makes of a module of an app's. */
function bundled(contents) {
  const stdin = { contents, resolveDir: packages };
  const options = { bundle: true, minify: true, format: "esm", write: false, external: ["viem", "@wagmi/core"] };
  return buildSync({ stdin, ...options }).outputFiles[0].text;
}

/** A bundle that imports the package and uses nothing, or the smallest of it. */
function shake(name) {
  if (bundled(`import * as all from "@pinseal/${name}";`) !== "")
    complaints.push(`${name}: is bundled where it is not used`);
  const smallest = SMALLEST[name];
  if (smallest === undefined) return;
  const { length } = bundled(`import { ${smallest} } from "@pinseal/${name}"; globalThis.used = ${smallest};`);
  if (length > SMALLEST_MAX) complaints.push(`${name}: ${smallest} alone brings ${length} characters`);
}

for (const name of readdirSync(packages)) {
  const directory = `${packages}${name}`;
  const { private: isPrivate } = JSON.parse(readFileSync(`${directory}/package.json`, "utf8"));
  if (isPrivate) continue;
  if (!(name in SMALLEST)) complaints.push(`${name}: is in no list of what it is shaken down to`);
  shake(name);

  // As a module that was renamed leaves it behind.
  const leftover = `${directory}/dist/leftover.js`;
  writeFileSync(leftover, "");
  const { status, stdout } = spawnSync("npm", ["pack", "--json", "--loglevel=error"], {
    cwd: directory,
    encoding: "utf8",
  });
  if (existsSync(leftover)) {
    complaints.push(`${name}: packs what has no source any more`);
    rmSync(leftover);
  }
  if (status !== 0) throw new Error(`${name} does not pack`);
  const [{ filename }] = Object.values(JSON.parse(stdout));
  const tarball = readFileSync(`${directory}/${filename}`);
  rmSync(`${directory}/${filename}`);
  const pack = { tarball: new Uint8Array(tarball).buffer };
  const { messages } = await publint({ strict: true, pack });
  for (const { type, code, path } of messages) complaints.push(`${name}: ${type} ${code} at ${path.join(".")}`);
  const { problems } = await checkPackage(createPackageFromTarballData(new Uint8Array(tarball)));
  for (const problem of problems) {
    if (problem.resolutionKind === undefined || ESM.has(problem.resolutionKind)) {
      complaints.push(`${name}: ${problem.kind} ${problem.entrypoint ?? ""}`);
    }
  }
}

for (const complaint of complaints) console.error(complaint);
process.exit(complaints.length === 0 ? 0 : 1);
