/** A package as apps get it: what it weighs, what it brings along, what it does where there is no page; and the examples of its README. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

/** What has no place in an app's page: what only Node has, what writes logs, what stores. */
const FOREIGN = /\bBuffer\b|\bprocess\.|node:|require\(|console|localStorage|sessionStorage|indexedDB/;

/** What an app weighs for these lines and all that they import. */
export interface Weight {
  /** Fewer bytes would mean that nothing was measured. */
  readonly bytesMin: number;
  readonly bytesMax: number;
  /** Packages that the app has anyway. */
  readonly external?: readonly string[];
}

/** Bundles the lines from a package's directory; fails if they weigh more, compressed, or bring along what has no place in a page. */
export function weigh(root: URL, contents: string, { bytesMin, bytesMax, external = [] }: Weight): string {
  const stdin = { contents, resolveDir: root.pathname };
  const { outputFiles } = buildSync({
    stdin,
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    external: [...external],
  });
  const code = outputFiles[0]?.text ?? "";
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size > bytesMin && size <= bytesMax, `${size} bytes`);
  assert.doesNotMatch(code, FOREIGN);
  return code;
}

/** Runs the lines in a Node of their own, from a package's directory; fails if they do, or if they touch one of these globals. */
export function runWithoutPage(root: URL, untouched: readonly string[], lines: string): void {
  const guards = `for (const name of ${JSON.stringify(untouched)}) {
    Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
  }`;
  // `import` lines are evaluated before the guards: what is not to touch anything while it is imported is imported by a call.
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", `${guards}\n${lines}`], {
    cwd: root.pathname,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
}

/** One of the TypeScript examples of a package's README, as it stands there. */
export function example(root: URL, number = 0): string {
  const found = [...readFileSync(new URL("README.md", root), "utf8").matchAll(/```ts\n(.*?)```/gs)];
  const code = found[number]?.[1];
  assert.ok(code, `the README has no example ${number}`);
  return code;
}

/** The same without its imports, for whoever gives it what it imports. */
export function exampleBody(root: URL, number = 0): string {
  return example(root, number).replace(/^import .*$/gm, "");
}
