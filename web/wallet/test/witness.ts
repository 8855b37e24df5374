/** A witness of the deployment's log, as somebody else would run it; stopped by its pid. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { programs, type System } from "@pinseal/testing";

export class Witness {
  readonly name: string;
  /** What `pinseal config change --add-witness` takes: its verifier key, then where it answers. */
  readonly place: string;
  readonly #process: ChildProcess;

  private constructor(name: string, place: string, child: ChildProcess) {
    this.name = name;
    this.place = place;
    this.#process = child;
  }

  /** Makes one in the deployment's directory, which trusts its log, and waits until it serves. */
  static async start(up: System, name: string): Promise<Witness> {
    assert.ok(programs);
    const directory = join(up.directory, name.replaceAll("/", "-"));
    up.command("witness", "init", "--directory", directory, "--name", name);
    const log = readFileSync(join(up.directory, "pinseal-data", "host", "log.vkey"), "utf8");
    up.command("witness", "trust", "--directory", directory, log.trim());
    const serving = ["witness", "serve", "--json", "--listen", "127.0.0.1:0", "--directory", directory];
    const child = spawn(join(resolve(programs), "pinseal"), serving, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit").then(() => assert.fail("the witness ended"));
    const [line] = (await Promise.race([once(createInterface(child.stdout), "line"), ended])) as [string];
    ended.catch(() => undefined);
    const { url, verifier_key: key } = JSON.parse(line) as { url: string; verifier_key: string };
    return new Witness(name, `${key} ${url}`, child);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await ended;
  }
}
