/** The real system for tests: `pinseal up` with free ports, stopped by its pid. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { Client, type ClientOptions, type Environment, MemoryStore, Policy, system } from "../src/index.js";

/** The directory of `pinseal` and `pinseal-enclaved`; without it the tests of this kind are skipped. */
export const programs = process.env.PINSEAL_PROGRAMS;
export const withoutPrograms = programs === undefined ? "PINSEAL_PROGRAMS is not set" : false;

export const development = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });

interface Ready {
  readonly server: string;
  readonly mailbox: string;
  readonly node: string | null;
  readonly app_id: string;
  readonly app_key: string;
}

interface Mail {
  readonly id: number;
  readonly code: string | null;
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

  /** Starts everything, the local EVM node included where `withNode`, and waits until it serves. */
  static async start(withNode: boolean): Promise<System> {
    assert.ok(programs);
    const directory = mkdtempSync(join(tmpdir(), "pinseal-web-"));
    const ports = ["--port", "0", "--mailbox-port", "0", "--node-port", "0"];
    const child = spawn(join(resolve(programs), "pinseal"), ["up", "--json", ...ports, ...(withNode ? [] : ["--no-dev-node"])], {
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

  /** A client of this system with a profile of its own: another device. */
  client(options: Partial<ClientOptions> = {}): Client {
    const app = { id: this.ready.app_id, key: this.ready.app_key };
    return new Client({ server: this.ready.server, app, policy: development, store: new MemoryStore(), ...options });
  }

  /** The code in the next mail to this address. */
  async mailedCode(email: string): Promise<string> {
    const query = new URLSearchParams({ to: email, after: "0", wait: "20" });
    const mails = (await (await fetch(`${this.ready.mailbox}/api/messages?${query}`)).json()) as Mail[];
    const code = mails.at(-1)?.code;
    assert.ok(code, `no code was mailed to ${email}`);
    return code;
  }

  /** An account with a proven address, logged in on this client's device. */
  async signUp(client: Client, email: string, password: string): Promise<void> {
    await client.login.signUp(email, password);
    await client.login.verifyEmail(email, await this.mailedCode(email));
    assert.equal(await client.login.logIn(email, password), "pin_required");
  }
}

/** An environment whose HTTP a test changes; it waits for nothing. */
export function tampering(fetch: Environment["fetch"]): Environment {
  return { ...system, sleep: async () => undefined, fetch };
}
