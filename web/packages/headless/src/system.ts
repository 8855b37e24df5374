/** The real system: `pinseal up` on free ports with a local EVM node, stopped by its pid. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const programs = process.env.PINSEAL_PROGRAMS;
/** Why the tests of this kind are skipped, if they are. */
export const withoutPrograms = programs === undefined ? "PINSEAL_PROGRAMS is not set" : false;

interface Ready {
  readonly server: string;
  readonly mailbox: string;
  readonly node: string;
  readonly app_id: string;
  readonly app_key: string;
}

export class System {
  readonly ready: Ready;
  readonly #process: ChildProcess;
  readonly #directory: string;

  private constructor(ready: Ready, child: ChildProcess, directory: string) {
    this.ready = ready;
    this.#process = child;
    this.#directory = directory;
  }

  static async start(): Promise<System> {
    assert.ok(programs);
    const directory = mkdtempSync(join(tmpdir(), "pinseal-headless-"));
    const ports = ["--port", "0", "--mailbox-port", "0", "--node-port", "0"];
    const child = spawn(join(resolve(programs), "pinseal"), ["up", "--json", ...ports], {
      cwd: directory,
      env: { ...process.env, HOME: directory, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    const ended = once(child, "exit").then(() => assert.fail(`pinseal up ended: ${said}`));
    const [line] = (await Promise.race([once(createInterface(child.stdout), "line"), ended])) as [string];
    ended.catch(() => undefined);
    return new System(JSON.parse(line) as Ready, child, directory);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await ended;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** The code in the next mail to this address. */
  async mailedCode(email: string): Promise<string> {
    const query = new URLSearchParams({ to: email, after: "0", wait: "20" });
    const answer = await fetch(`${this.ready.mailbox}/api/messages?${query}`);
    const code = ((await answer.json()) as { code: string | null }[]).at(-1)?.code;
    assert.ok(code, `no code was mailed to ${email}`);
    return code;
  }

  /** Asks the local EVM node; what it answers, error or result. */
  async node(method: string, params: readonly unknown[]): Promise<{ result?: unknown; error?: NodeError }> {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const headers = { "content-type": "application/json" };
    const response = await fetch(this.ready.node, { method: "POST", headers, body });
    return (await response.json()) as { result?: unknown; error?: NodeError };
  }
}

export interface NodeError {
  readonly message: string;
  readonly data?: string;
}
