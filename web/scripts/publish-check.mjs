// What npm and its readers would get of every package that is published: `publint` on the files, `@arethetypeswrong/core` on the types. The
// packages are ESM alone, so that what CommonJS would see is not asked. They have to be built before.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";

const ESM = new Set(["node16-esm", "bundler"]);
const packages = fileURLToPath(new URL("../packages/", import.meta.url));
const complaints = [];

for (const name of readdirSync(packages)) {
  const directory = `${packages}${name}`;
  const { private: isPrivate } = JSON.parse(readFileSync(`${directory}/package.json`, "utf8"));
  if (isPrivate) continue;
  const { messages } = await publint({ pkgDir: directory, strict: true, pack: "npm" });
  for (const { type, code, path } of messages) complaints.push(`${name}: ${type} ${code} at ${path.join(".")}`);

  const { status, stdout } = spawnSync("npm", ["pack", "--json", "--loglevel=error"], {
    cwd: directory,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${name} does not pack`);
  const [{ filename }] = Object.values(JSON.parse(stdout));
  const tarball = readFileSync(`${directory}/${filename}`);
  rmSync(`${directory}/${filename}`);
  const { problems } = await checkPackage(createPackageFromTarballData(new Uint8Array(tarball)));
  for (const problem of problems) {
    if (problem.resolutionKind === undefined || ESM.has(problem.resolutionKind)) {
      complaints.push(`${name}: ${problem.kind} ${problem.entrypoint ?? ""}`);
    }
  }
}

for (const complaint of complaints) console.error(complaint);
process.exit(complaints.length === 0 ? 0 : 1);
