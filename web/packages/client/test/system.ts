/** The real system for tests: `pinseal up` with free ports, stopped by its pid. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import {
  type Argon2,
  argon2InThread,
  type Bytes,
  Client,
  type ClientOptions,
  type Environment,
  MemoryStore,
  Policy,
  system,
  toHex,
} from "../src/index.js";

/** The directory of `pinseal` and `pinseal-enclaved`; without it the tests of this kind are skipped. */
export const programs = process.env.PINSEAL_PROGRAMS;
export const withoutPrograms = programs === undefined ? "PINSEAL_PROGRAMS is not set" : false;

export const development = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });

const factors = new Map<string, Bytes | undefined>();

/** Each factor is computed once in a test file: a second time would say nothing more. */
const argon2: Argon2 = async (job) => {
  const name = `${toHex(job.digits)} ${toHex(job.salt)}`;
  if (!factors.has(name)) factors.set(name, await argon2InThread(job));
  return factors.get(name)?.slice();
};

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
  readonly directory: string;
  readonly #process: ChildProcess;

  private constructor(ready: Ready, child: ChildProcess, directory: string) {
    this.ready = ready;
    this.#process = child;
    this.directory = directory;
  }

  /** Starts everything in this directory, and waits until it serves. */
  static async start(directory = mkdtempSync(join(tmpdir(), "pinseal-web-")), withNode = false): Promise<System> {
    assert.ok(programs);
    const node = withNode ? ["--node-port", "0"] : ["--no-dev-node"];
    const ports = ["--port", "0", "--mailbox-port", "0", ...node];
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
    await this.halt();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Stops it and keeps its data. */
  async halt(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await ended;
  }

  /** Runs `pinseal` with these arguments while the system is halted. */
  command(...args: readonly string[]): void {
    assert.ok(programs);
    const { status, stderr } = spawnSync(join(resolve(programs), "pinseal"), args, {
      cwd: this.directory,
      env: { ...process.env, HOME: this.directory, NO_COLOR: "1" },
      encoding: "utf8",
      timeout: 120_000,
    });
    assert.equal(status, 0, stderr);
  }

  /** A client of this system with a profile of its own: another device. */
  client(options: Partial<ClientOptions> = {}): Client {
    const app = { id: this.ready.app_id, key: this.ready.app_key };
    return new Client({
      server: this.ready.server,
      app,
      policy: development,
      store: new MemoryStore(),
      argon2,
      ...options,
    });
  }

  /** The code in the next mail to this address. */
  async mailedCode(email: string): Promise<string> {
    const query = new URLSearchParams({ to: email, after: "0", wait: "20" });
    const mails = (await (await fetch(`${this.ready.mailbox}/api/messages?${query}`)).json()) as Mail[];
    const code = mails.at(-1)?.code;
    assert.ok(code, `no code was mailed to ${email}`);
    return code;
  }

  /** Asks the local EVM node. */
  async node(method: string, params: readonly unknown[]): Promise<unknown> {
    assert.ok(this.ready.node);
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const response = await fetch(this.ready.node, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    return ((await response.json()) as { result: unknown }).result;
  }

  /** An account with a proven address, logged in on this client's device. */
  async signUp(client: Client, email: string, password: string): Promise<void> {
    await client.login.signUp(email, password);
    await client.login.verifyEmail(email, await this.mailedCode(email));
    assert.equal(await client.login.logIn(email, password), "pin_required");
  }
}

/** A host between client and server that sees and changes everything in clear. It waits for nothing. */
export class Between {
  /** Requests that reached the server, by path. */
  readonly forwarded: string[] = [];
  /** Given the request's path and body, what becomes of it; `forward` asks the server. */
  onRequest: (path: string, forward: () => Promise<Json>) => Promise<Json> = (_, forward) => forward();

  readonly environment: Environment = {
    ...system,
    sleep: async () => undefined,
    fetch: async (url, init) => {
      const path = new URL(url).pathname;
      let response: Response | undefined;
      const forward = async () => {
        this.forwarded.push(path);
        response = await fetch(url, init);
        return (await response
          .clone()
          .json()
          .catch(() => ({}))) as Json;
      };
      const json = await this.onRequest(path, forward);
      const status = typeof json.status === "number" && "code" in json ? json.status : 200;
      return new Response(JSON.stringify(json), { status, ...(response && { headers: headersOf(response) }) });
    },
  };
}

export type Json = Record<string, unknown>;

/** What the client reads of an answer's head. */
function headersOf(response: Response): Record<string, string> {
  const nonce = response.headers.get("dpop-nonce");
  return nonce === null ? {} : { "dpop-nonce": nonce };
}

/** A problem document of the host's own making. */
export function problem(status: number, code: string, retryable = false): Json {
  return { status, code, retryable, title: code };
}
