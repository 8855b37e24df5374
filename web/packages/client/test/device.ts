/** Clients of the real system, and hosts between them and it. */

import assert from "node:assert/strict";
import type { System } from "@pinseal/testing";
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

export const development = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });

const factors = new Map<string, Bytes | undefined>();

/** Each factor is computed once in a test file: a second time would say nothing more. */
const argon2: Argon2 = async (job) => {
  const name = `${toHex(job.digits)} ${toHex(job.salt)}`;
  if (!factors.has(name)) factors.set(name, await argon2InThread(job));
  return factors.get(name)?.slice();
};

/** A client of this system with a profile of its own: another device. */
export function clientOf(up: System, options: Partial<ClientOptions> = {}): Client {
  const { server, app_id: id, app_key: key } = up.ready;
  return new Client({ server, app: { id, key }, policy: development, store: new MemoryStore(), argon2, ...options });
}

/** An account with a proven address, logged in on this client's device. */
export async function signUp(up: System, client: Client, email: string, password: string): Promise<void> {
  await client.login.signUp(email, password);
  await client.login.verifyEmail(email, await up.mailedCode(email));
  assert.equal(await client.login.logIn(email, password), "pin_required");
}

/** A host between client and server that sees and changes everything in clear. It waits for nothing. */
export class Between {
  /** Requests that reached the server, by path. */
  readonly forwarded: string[] = [];
  /** Given the request's path and query, what becomes of it; `forward` asks the server. */
  onRequest: (path: string, forward: () => Promise<Json>, query: URLSearchParams) => Promise<Json> = (_, forward) =>
    forward();

  readonly environment: Environment = {
    ...system,
    sleep: async () => undefined,
    fetch: async (url, init) => {
      const { pathname: path, searchParams } = new URL(url);
      let response: Response | undefined;
      const forward = async () => {
        this.forwarded.push(path);
        response = await fetch(url, init);
        return (await response
          .clone()
          .json()
          .catch(() => ({}))) as Json;
      };
      const json = await this.onRequest(path, forward, searchParams);
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
