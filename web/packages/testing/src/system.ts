/** The real system for tests: `pinseal up` on free ports, stopped by its pid however the tests end. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { within } from "./steps.js";

/** The directory of `pinseal` and `pinseal-enclaved`; without it the tests of this kind are skipped. */
export const programs = process.env.PINSEAL_PROGRAMS;
/** Why the tests of this kind are skipped, if they are. */
export const withoutPrograms = programs === undefined ? "PINSEAL_PROGRAMS is not set" : false;

/** Longer than a start takes on a machine that is busy. */
const START_MILLISECONDS = 120_000;
/** Longer than the supervisor gives the three that it stops one after the other. */
const STOP_MILLISECONDS = 60_000;
/** The operator's settings. */
const SETTINGS = join("pinseal-data", "host", "server.toml");

interface Ready {
  readonly server: string;
  readonly wallet: string | null;
  readonly mailbox: string;
  readonly node: string | null;
  readonly app_id: string;
  readonly app_key: string;
  readonly pids: { readonly enclave: number };
}

export interface StartOptions {
  /** Where its data lies, or is to lie. */
  readonly directory?: string;
  /** With an EVM node of its own. */
  readonly node?: boolean;
  readonly port?: string;
  readonly walletUrl?: string;
  /** Changes the operator's settings of a new deployment. */
  readonly settings?: (written: string) => string;
}

/** Every one that runs, so that none outlives the process that started it. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGTERM");
});

/** Runs `pinseal` with these arguments; what it printed. */
function run(cwd: string, args: readonly string[]): string {
  const { status, stderr, stdout } = spawned(cwd, args);
  assert.equal(status, 0, stderr);
  return stdout;
}

function spawned(cwd: string, args: readonly string[]) {
  assert.ok(programs);
  return spawnSync(join(resolve(programs), "pinseal"), args, {
    cwd,
    env: { ...process.env, HOME: cwd, NO_COLOR: "1" },
    encoding: "utf8",
    timeout: START_MILLISECONDS,
  });
}

export class System {
  readonly ready: Ready;
  readonly directory: string;
  readonly #process: ChildProcess;

  private constructor(ready: Ready, child: ChildProcess, directory: string) {
    this.ready = ready;
    this.#process = child;
    this.directory = directory;
  }

  /** Starts everything, and waits until it serves. */
  static async start(options: StartOptions = {}): Promise<System> {
    assert.ok(programs);
    const directory = options.directory ?? mkdtempSync(join(tmpdir(), "pinseal-web-"));
    const node = options.node ? ["--node-port", "0"] : ["--no-dev-node"];
    if (options.settings !== undefined) {
      run(directory, ["init", "--json"]);
      const file = join(directory, SETTINGS);
      writeFileSync(file, options.settings(readFileSync(file, "utf8")));
    }
    const ports = ["--port", options.port ?? "0", "--mailbox-port", "0", ...node];
    if (options.walletUrl !== undefined) ports.push("--wallet-url", options.walletUrl);
    const child = spawn(join(resolve(programs), "pinseal"), ["up", "--json", ...ports], {
      cwd: directory,
      env: { ...process.env, HOME: directory, NO_COLOR: "1", PINSEAL_CLOCK_AHEAD: join(directory, "ahead") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(child);
    child.once("exit", () => running.delete(child));
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    const ended = once(child, "exit").then(() => assert.fail(`pinseal up ended: ${said}`));
    const first = Promise.race([once(createInterface(child.stdout), "line"), ended]);
    try {
      const [line] = (await within(first, START_MILLISECONDS, () => `pinseal up does not serve: ${said}`)) as [string];
      return new System(JSON.parse(line) as Ready, child, directory);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    } finally {
      ended.catch(() => undefined);
    }
  }

  /** Origin of the wallet page. */
  get page(): string {
    assert.ok(this.ready.wallet, "this `pinseal` was built without the page: scripts/page, then cargo build");
    return this.ready.wallet;
  }

  /** Stops it and removes its data. */
  async stop(): Promise<void> {
    await this.halt();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Stops it and keeps its data. */
  async halt(): Promise<void> {
    if (!running.has(this.#process)) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    try {
      await within(ended, STOP_MILLISECONDS, () => `pinseal up (pid ${this.#process.pid}) does not stop`);
    } catch (error) {
      this.#process.kill("SIGKILL");
      throw error;
    }
  }

  /** The same again, at the same address. */
  again(): Promise<System> {
    const port = new URL(this.ready.server).port;
    return System.start({ directory: this.directory, port, node: this.ready.node !== null });
  }

  /** Adds lines to the operator's settings, which hold from the next start on. */
  configure(lines: string): void {
    appendFileSync(join(this.directory, SETTINGS), `\n${lines}\n`);
  }

  /** Runs `pinseal` with these arguments; what it printed. */
  command(...args: readonly string[]): string {
    return run(this.directory, args);
  }

  /** Runs `pinseal` with these arguments, which it refuses; what it said. */
  refused(...args: readonly string[]): string {
    const { status, stderr } = spawned(this.directory, args);
    assert.notEqual(status, 0);
    return stderr;
  }

  /** Registers an app, with these arguments besides its name; its id. */
  createApp(name: string, ...args: readonly string[]): string {
    const created = this.command("app", "create", "--json", "--name", name, ...args);
    return (JSON.parse(created) as { app_id: string }).app_id;
  }

  /** Puts the host's clock ahead of this machine's. */
  ahead(seconds: number): void {
    writeFileSync(join(this.directory, "ahead"), String(seconds));
  }

  /** The code in the newest mail to this address, once there are so many. */
  async mailedCode(email: string, mails = 1): Promise<string> {
    let all: { id: number; code: string | null }[] = [];
    do {
      const query = new URLSearchParams({ to: email, after: String(all.at(-1)?.id ?? 0), wait: "20" });
      const more = (await (await fetch(`${this.ready.mailbox}/api/messages?${query}`)).json()) as typeof all;
      assert.ok(more.length > 0, `no code was mailed to ${email}`);
      all = [...all, ...more];
    } while (all.length < mails);
    const code = all.at(-1)?.code;
    assert.ok(code, `the newest mail to ${email} has no code`);
    return code;
  }

  /** Asks the local EVM node; what it answers, error or result. */
  async ask(method: string, params: readonly unknown[]): Promise<{ result?: unknown; error?: NodeError }> {
    assert.ok(this.ready.node);
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const headers = { "content-type": "application/json" };
    const response = await fetch(this.ready.node, { method: "POST", headers, body });
    return (await response.json()) as { result?: unknown; error?: NodeError };
  }

  /** The local EVM node's result. */
  async node(method: string, params: readonly unknown[]): Promise<unknown> {
    return (await this.ask(method, params)).result;
  }
}

/** An error as JSON-RPC has it. */
export interface NodeError {
  readonly message: string;
  readonly data?: string;
}
