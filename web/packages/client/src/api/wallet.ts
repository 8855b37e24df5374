/** Calls that carry evidence and sealed requests. Their contents are opaque here. */

import { type Bytes, toHex } from "../bytes.js";
import type { Method } from "../protocol/method.js";
import type { SignedStatement } from "../protocol/statement.js";
import { ApiError, isGateway } from "./error.js";
import type { Call } from "./exchange.js";
import { hex, list, nothing, object, optional, type Read, string } from "./json.js";
import type { Sessions } from "./session.js";

/** How often the same sealed bytes are sent before the outcome is called unknown. */
const SENDS_MAX = 4;
/** Wait before the first resend; doubles each time. */
const RESEND_MILLISECONDS = 500;

const evidenceResponse = object({ document: hex, manifest: hex });
const beginResponse = object({ begin: hex, storage_token: string });
const sealedResponse = object({ reply: hex, storage_token: optional(string) });

/** A sealed request got no reply: the host refused it, or it may have been carried out. */
export class SealedFailure extends Error {
  readonly isLost: boolean;
  readonly said: ApiError;

  constructor(isLost: boolean, said: ApiError) {
    super(said.message);
    this.isLost = isLost;
    this.said = said;
  }
}

/** The answer may come if the same bytes are sent again: nobody answered, or the wallet was still busy with them. */
function isWorthAResend({ code, status, problem }: ApiError): boolean {
  if (problem) return problem.retryable && (isGateway(status) || code === "wallet_busy");
  return code === "transport" || isGateway(status);
}

/** A refusal of the caller (4xx) or for want of room was made before the enclave had the request. Everything else may have come after. */
function mayHaveBeenCarriedOut({ code, problem }: ApiError): boolean {
  if (!problem) return true;
  return problem.status >= 500 && code !== "enclave_overloaded" && code !== "overloaded";
}

export class WalletApi {
  readonly #sessions: Sessions;

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  evidence(nonce: Bytes): Promise<Read<typeof evidenceResponse>> {
    const call: Call = { method: "GET", path: ["v1", "evidence"], query: [["nonce", toHex(nonce)]] };
    return this.#sessions.exchange.call(call, { kind: "app" }, evidenceResponse);
  }

  begin(method: Method, user: string): Promise<Read<typeof beginResponse>> {
    return this.#sessions.authorized(
      { method: "POST", path: ["v1", "wallet", "begin"], body: { method } },
      beginResponse,
      user,
    );
  }

  /**
   * Sends a sealed request, the same bytes again while no answer comes: the host answers an identical resend with the same reply, so
   * that nothing is charged twice. Throws {@link SealedFailure}.
   */
  async sealed(token: string, storageToken: string, request: Bytes): Promise<Read<typeof sealedResponse>> {
    const body = { storage_token: storageToken, request: toHex(request) };
    const call: Call = { method: "POST", path: ["v1", "wallet", "sealed"], body };
    let wait = RESEND_MILLISECONDS;
    let isLost = false;
    for (let sends = 1; ; sends += 1) {
      try {
        return await this.#sessions.exchange.call(call, { kind: "token", token }, sealedResponse);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        isLost ||= mayHaveBeenCarriedOut(error);
        if (sends >= SENDS_MAX || !isWorthAResend(error)) throw new SealedFailure(isLost, error);
      }
      await this.#sessions.exchange.environment.sleep(wait);
      wait *= 2;
    }
  }

  async cachedStatements(user: string): Promise<SignedStatement[]> {
    const entry = object({ statement: hex, signature: hex });
    const call: Call = { method: "GET", path: ["v1", "accounts"] };
    return (await this.#sessions.authorized(call, object({ items: list(entry) }), user)).items;
  }

  cacheStatements(statements: readonly SignedStatement[], user: string): Promise<void> {
    const items = statements.map(({ statement, signature }) => ({
      statement: toHex(statement),
      signature: toHex(signature),
    }));
    return this.#sessions.authorized({ method: "POST", path: ["v1", "accounts"], body: { items } }, nothing, user);
  }
}
