/** What is started ends, however a test ends. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { System, steps, within, withoutPrograms } from "../src/index.js";

test("a wait that is too long says what did not come", async () => {
  const never = new Promise<string>(() => undefined);
  await assert.rejects(
    within(never, 1, () => "no letter"),
    { message: "no letter" },
  );
  assert.equal(await within(Promise.resolve("here"), 60_000, () => "no letter"), "here");
  await assert.rejects(
    within(Promise.reject(new Error("burnt")), 60_000, () => "no letter"),
    { message: "burnt" },
  );
});

test("a step that waits for ever fails, and the ones behind it are skipped", async () => {
  const told: [unknown, unknown][] = [];
  const context = {
    test: async (_: string, { skip, timeout }: { skip: unknown; timeout: unknown }, work: () => Promise<void>) => {
      told.push([skip, timeout]);
      if (skip === false) await within(work(), Number(timeout), () => "late").catch(() => undefined);
    },
  };
  const step = steps(context as never, 1);
  await step("one", () => undefined);
  await step("two", () => new Promise(() => undefined));
  await step("three", () => assert.fail("it runs"));
  assert.deepEqual(told, [
    [false, 1],
    [false, 1],
    ["an earlier step failed", 1],
  ]);
});

test("a system ends with the process that started it", { skip: withoutPrograms }, async () => {
  const module = new URL("../src/index.js", import.meta.url).href;
  const script = `import { System } from ${JSON.stringify(module)};
    const up = await System.start();
    console.log(JSON.stringify({ server: up.ready.server, directory: up.directory, pids: up.ready.pids }));
    process.exit(3);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const { server, directory } = JSON.parse(line) as { server: string; directory: string };
  assert.ok(existsSync(directory));
  // A connection that is given up keeps no process alive, and then nobody would hear of the failure.
  const alive = setInterval(() => undefined, 1_000);
  await assert.rejects(async () => {
    // It takes a moment to stop; a request that reaches it is answered.
    for (;;) await fetch(`${server}/readyz`);
  });
  clearInterval(alive);
});

test("a system that stops is gone, and may be stopped again", { skip: withoutPrograms }, async () => {
  const up = await System.start();
  assert.equal((await fetch(`${up.ready.server}/readyz`)).status, 200);
  await up.stop();
  await up.stop();
  assert.equal(existsSync(up.directory), false);
  await assert.rejects(fetch(`${up.ready.server}/readyz`));
});
