/** One HTTP exchange: headers, DPoP (RFC 9449) with the server's nonce, bounded bodies, problems. */

import { type Bytes, concat, fromUtf8, toBase64Url, toHex, utf8 } from "../bytes.js";
import { sha256 } from "../crypto/kdf.js";
import type { Environment } from "../environment.js";
import { type DeviceKey, publicJwk, signEs256 } from "../profile/device.js";
import { ApiError, readProblem } from "./error.js";
import type { Shape } from "./json.js";
import type { AppCredentials, ServerUrl } from "./server.js";

/** Longest answer read. The largest honest one is a sealed reply to a request of 256 KiB, in hex. */
const RESPONSE_BYTES_MAX = 1024 * 1024;
/** Time for a whole call; the server gives up before. */
const CALL_MILLISECONDS_MAX = 60_000;
/** Longest DPoP nonce taken from the server. */
const NONCE_CHARS_MAX = 256;

/** How a call shows who makes it. */
export type Authorization =
  /** App credentials only. */
  | { readonly kind: "app" }
  /** And a DPoP proof of the device key, without a token. */
  | { readonly kind: "device"; readonly device: DeviceKey }
  /** And the access token with a DPoP proof over it. */
  | { readonly kind: "session"; readonly device: DeviceKey; readonly token: string }
  /** And the access token alone: the sealed body carries the device's signature. */
  | { readonly kind: "token"; readonly token: string };

export interface Call {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: readonly string[];
  readonly query?: readonly (readonly [string, string])[];
  readonly body?: unknown;
  readonly idempotencyKey?: string;
}

export class Exchange {
  readonly environment: Environment;
  readonly #server: ServerUrl;
  readonly #app: AppCredentials;
  /** The newest DPoP nonce the server gave. */
  #nonce: string | undefined;

  constructor(server: ServerUrl, app: AppCredentials, environment: Environment) {
    this.#server = server;
    this.#app = app;
    this.environment = environment;
  }

  /** Makes a call; once more with a fresh nonce if the server asks for one. Throws {@link ApiError}. */
  async call<T>(call: Call, authorization: Authorization, shape: Shape<T>): Promise<T> {
    try {
      return shape(await this.#attempt(call, authorization));
    } catch (error) {
      const wantsNonce = error instanceof ApiError && error.status === 401 && error.code === "use_dpop_nonce";
      if (!wantsNonce) throw error;
      return shape(await this.#attempt(call, authorization));
    }
  }

  /** A call with all its proofs, to be sent later, once: it outlives the page, and its answer is nobody's. */
  async onLeave(call: Call, authorization: Authorization): Promise<() => void> {
    const { url, init } = await this.#request(call, authorization);
    return () => void this.environment.fetch(url.href, { ...init, keepalive: true }).catch(() => undefined);
  }

  async #request(call: Call, authorization: Authorization): Promise<{ url: URL; init: RequestInit }> {
    const url = this.#server.join(call.path);
    const headers = await this.#headers(call, authorization, url.href);
    for (const [name, value] of call.query ?? []) url.searchParams.append(name, value);
    const init: RequestInit = {
      method: call.method,
      headers,
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      // A redirected POST would carry its body elsewhere; cookies have no part in this API.
      redirect: "error",
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
    };
    return { url, init };
  }

  async #attempt(call: Call, authorization: Authorization): Promise<unknown> {
    const { url, init } = await this.#request(call, authorization);
    const signal = AbortSignal.timeout(CALL_MILLISECONDS_MAX);
    const { status, ok, body } = await this.#send(url, { ...init, signal });
    const json = parse(body);
    if (ok) {
      // An empty answer stands for an empty object.
      if (json === undefined && body.length > 0)
        throw ApiError.fault("answer_malformed", "the server's answer is not JSON");
      return json ?? {};
    }
    const problem = readProblem(status, json);
    if (problem) throw ApiError.ofProblem(problem);
    throw ApiError.fault("status", `the server answered with HTTP status ${status}`, { status });
  }

  async #send(url: URL, init: RequestInit): Promise<{ status: number; ok: boolean; body: Bytes }> {
    try {
      const response = await this.environment.fetch(url.href, init);
      this.#keepNonce(response.headers.get("dpop-nonce"));
      return { status: response.status, ok: response.ok, body: await readBounded(response) };
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      throw ApiError.fault("transport", "no answer from the server", { cause });
    }
  }

  async #headers(call: Call, authorization: Authorization, target: string): Promise<Record<string, string>> {
    const headers: Record<string, string> = { "x-pinseal-app-id": this.#app.id, "x-pinseal-app-key": this.#app.key };
    if (this.#app.bundle !== undefined) headers["x-pinseal-bundle"] = this.#app.bundle;
    if (call.body !== undefined) headers["content-type"] = "application/json";
    if (call.idempotencyKey !== undefined) headers["idempotency-key"] = call.idempotencyKey;
    if ("token" in authorization) headers.authorization = `DPoP ${authorization.token}`;
    if ("device" in authorization) headers.dpop = await this.#proof(call, authorization, target);
    return headers;
  }

  async #proof(call: Call, authorization: Authorization & { device: DeviceKey }, target: string): Promise<string> {
    const { device } = authorization;
    const claims = {
      jti: toHex(this.environment.random(16)),
      htm: call.method,
      htu: target,
      iat: this.environment.now(),
      ...("token" in authorization && { ath: toBase64Url(await sha256(utf8(authorization.token))) }),
      ...(this.#nonce !== undefined && { nonce: this.#nonce }),
    };
    const header = { typ: "dpop+jwt", alg: "ES256", jwk: publicJwk(device) };
    const signed = [header, claims].map((part) => toBase64Url(utf8(JSON.stringify(part)))).join(".");
    return `${signed}.${toBase64Url(await signEs256(device, utf8(signed)))}`;
  }

  #keepNonce(nonce: string | null): void {
    if (nonce !== null && nonce.length <= NONCE_CHARS_MAX) this.#nonce = nonce;
  }
}

function parse(body: Bytes): unknown {
  try {
    return JSON.parse(fromUtf8(body) ?? "");
  } catch {
    return undefined;
  }
}

/** The announced length is checked first, the real one as it comes. */
async function readBounded(response: Response): Promise<Bytes> {
  const tooLong = () => ApiError.fault("answer_too_long", "the server's answer is too long");
  if (Number(response.headers.get("content-length") ?? 0) > RESPONSE_BYTES_MAX) throw tooLong();
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read()) {
    length += part.value.length;
    if (length > RESPONSE_BYTES_MAX) {
      await reader?.cancel();
      throw tooLong();
    }
    parts.push(part.value);
  }
  return concat(...parts);
}
