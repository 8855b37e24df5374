/** Payments in a client with a host that may say of them what it likes. */

import assert from "node:assert/strict";
import { type Client, type PreparedTransaction, SendError, type TransactionRequest } from "../src/index.js";
import { clientAt, Host, NETWORK, signed } from "./host.js";

export const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
export const REQUEST: TransactionRequest = { network: NETWORK, account: 0, to: TO, value: 5n };
export const LIST = "GET /v1/tx";

export const code = (wanted: string) => (error: unknown) => (error as { code?: string }).code === wanted;

/** Refused for this: it names what was signed before, by nonces. */
export const stops =
  (...nonces: bigint[]) =>
  (error: unknown) => {
    assert.ok(error instanceof SendError && error.code === "payment_unsettled", String(error));
    assert.deepEqual(
      error.unsettled.map(({ nonce }) => nonce),
      nonces,
    );
    return true;
  };

export const nonces = (of: PreparedTransaction["beside"]) => of.map(({ nonce }) => nonce);

/** Approves and sends; what the host said to that. */
export async function pay(client: Client, request = REQUEST) {
  const taken = await client.takeNonce(await client.proposeTransaction(request));
  return client.networks.broadcast(NETWORK, await signed(taken), taken);
}

/** What the host says of it from now on. */
export function say(host: Host, hash: string, status: string): void {
  host.known.set(hash, { ...host.known.get(hash), status });
}

/** A host that took the payment with nonce 0. */
export async function taken(): Promise<{ host: Host; client: Client; hash: string }> {
  const host = new Host();
  const client = await clientAt(host);
  const { hash } = await pay(client);
  return { host, client, hash };
}
