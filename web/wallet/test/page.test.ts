/** The page as files: small enough, the same from the same sources, and free of what its policy forbids. */

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { SENTENCES, type SentenceKey } from "@pinseal/client";
import { ko } from "../src/decoded/ko.js";

const ROOT = new URL("../../", import.meta.url);
/** What somebody's first visit may cost, compressed. */
const FIRST_LOAD_BYTES_MAX = 120_000;

interface Build {
  buildPage(directory: string): Promise<void>;
  hashOf(directory: string): string;
  filesOf(directory: string): string[];
}

let build: Build;
let directory: string;

const read = (name: string) => readFileSync(join(directory, name), "utf8");

before(async () => {
  build = (await import(new URL("scripts/build.mjs", ROOT).href)) as Build;
  directory = mkdtempSync(join(tmpdir(), "pinseal-page-"));
  await build.buildPage(directory);
});

after(() => rmSync(directory, { recursive: true, force: true }));

test("two builds have one hash", async () => {
  const second = mkdtempSync(join(tmpdir(), "pinseal-page-"));
  try {
    await build.buildPage(second);
    assert.equal(build.hashOf(second), build.hashOf(directory));
    assert.deepEqual(build.filesOf(second), build.filesOf(directory));
    // Whoever serves the page from dist/ serves this one.
    assert.equal(
      build.hashOf(new URL("dist", ROOT).pathname),
      build.hashOf(directory),
      "dist/ is stale: npm run build",
    );
  } finally {
    rmSync(second, { recursive: true });
  }
});

test("the first visit loads less than 120 kB, compressed", () => {
  const named = [...read("index.html").matchAll(/(?:src|href)="\/([^"]+)"/g)].map(([, name]) => name ?? "");
  assert.ok(named.some((name) => name.endsWith(".js")) && named.some((name) => name.endsWith(".css")));
  const bytes = ["index.html", ...named].map(
    (name) => gzipSync(readFileSync(join(directory, name)), { level: 9 }).length,
  );
  const whole = bytes.reduce((sum, size) => sum + size, 0);
  assert.ok(whole > 40_000 && whole <= FIRST_LOAD_BYTES_MAX, `${whole} bytes`);
});

test("nothing in it needs what the policy forbids, or comes from anybody else", () => {
  const html = read("index.html");
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|\sstyle=|https?:\/\//);
  const scripts = build.filesOf(directory).filter((name) => name.endsWith(".js"));
  assert.ok(scripts.some((name) => name.startsWith("assets/worker/")));
  for (const name of scripts) {
    const text = read(name);
    assert.doesNotMatch(text, /\beval\(|new Function\(|document\.write|insertAdjacentHTML|sourceMappingURL/, name);
    const places = [...text.matchAll(/https?:\/\/[a-z0-9.-]+/g)].map(([place]) => place);
    // A namespace, and the text of an error.
    const strange = places.filter((place) => !["http://www.w3.org", "https://www.npmjs.com"].includes(place));
    assert.deepEqual(strange, [], name);
  }
});

test("what is signed is said in every language, with the same values", () => {
  const names = (said: string) => [...said.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
  assert.deepEqual(Object.keys(ko).sort(), Object.keys(SENTENCES).sort());
  for (const [key, said] of Object.entries(SENTENCES)) {
    assert.deepEqual(names(ko[key as SentenceKey]), names(said), key);
    assert.match(ko[key as SentenceKey], /\p{Script=Hangul}/u, key);
  }
});

test("every language says everything, with the same values", async () => {
  const source = (name: string) => readFileSync(new URL(`src/i18n/${name}.ts`, ROOT), "utf8");
  const messages = (text: string) =>
    new Map(
      [...text.matchAll(/^ {2}"([\w. ]+)":\s*"((?:[^"\\]|\\.)*)"/gm)].map(([, key = "", said = ""]) => [key, said]),
    );
  const names = (said: string) => [...said.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
  const en = messages(source("messages"));
  const others = readdirSync(new URL("src/i18n", ROOT)).filter((name) => !/^(messages|text)\.ts$/.test(name));
  assert.ok(en.size > 200 && others.length > 0);
  for (const other of others) {
    const said = messages(source(other.replace(/\.ts$/, "")));
    for (const [key, text] of en) {
      if (key.endsWith(".one")) continue;
      assert.ok(said.has(key), `${other} lacks ${key}`);
      assert.deepEqual(names(said.get(key) ?? ""), names(text), `${other}: ${key}`);
    }
  }
});
