/** Address statements: K_log's signed claim that an address belongs to a wallet. */

import { type Bytes, concat, equal, utf8 } from "../bytes.js";
import { bytes, decode, struct, text, type Value } from "../cbor/codec.js";
import { verifyEd25519 } from "../crypto/ed25519.js";
import { deploymentId, walletId } from "./ids.js";

export const addressStatement = struct({
  deployment: deploymentId,
  wallet: walletId,
  path: text,
  network: text,
  address: bytes,
});
export type AddressStatement = Value<typeof addressStatement>;

export const signedStatement = struct({ statement: bytes, signature: bytes });
export type SignedStatement = Value<typeof signedStatement>;

const CONTEXT = utf8("pinseal address v1\0");

/** The statement, if `log` signed it for this deployment and wallet; otherwise `undefined`, and the address is not shown. */
export async function verifyStatement(
  signed: SignedStatement,
  log: Bytes,
  deployment: Bytes,
  wallet: Bytes,
): Promise<AddressStatement | undefined> {
  if (!(await verifyEd25519(log, concat(CONTEXT, signed.statement), signed.signature))) return undefined;
  let statement: AddressStatement;
  try {
    statement = decode(addressStatement, signed.statement);
  } catch {
    return undefined;
  }
  return equal(statement.deployment, deployment) && equal(statement.wallet, wallet) ? statement : undefined;
}
