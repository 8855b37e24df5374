/** From an intent to its digest, and from a result to the account that signed it. */

import { type Bytes, equal, utf8 } from "../bytes.js";
import { PinsealError } from "../errors.js";
import { type Intent, isAccountIndex, type Signed } from "../protocol/intent.js";
import { authorizationDigest, checkAuthorization, parseSignedAuthorization } from "./authorization.js";
import { IntentError } from "./error.js";
import { keccak256 } from "./keccak.js";
import { recoverAddress, signatureFromBytes } from "./signature.js";
import { encodeUnsigned, parseSigned, parseUnsigned, transactionDigest } from "./transaction.js";
import { readTypedData } from "./typed-data/canonical.js";
import { domainOf } from "./typed-data/domain.js";
import { typedDataDigest } from "./typed-data/hash.js";

/** The longest message that is signed: far beyond every sign-in text, and still quick to show. */
export const MESSAGE_BYTES_MAX = 64 * 1024;

/** EIP-191, version 0x45. */
export function personalMessageDigest(message: Bytes): Bytes {
  return keccak256(utf8(`\x19Ethereum Signed Message:\n${message.length}`), message);
}

/** Checks an intent as the enclave will, before a PIN is spent on it, and gives its digest. Throws {@link IntentError}. */
export function digestOf(intent: Intent): Bytes {
  if (!isAccountIndex(intent.account)) throw new IntentError("account_out_of_range");
  switch (intent.kind) {
    case "evmTransaction": {
      const transaction = parseUnsigned(intent.unsigned);
      if (transaction.chain !== intent.chain) throw new IntentError("chain_mismatch");
      return transactionDigest(transaction);
    }
    case "evmAuthorization":
      checkAuthorization(intent);
      return authorizationDigest(intent);
    case "evmPersonalMessage":
      if (intent.message.length > MESSAGE_BYTES_MAX) throw new IntentError("message_too_long");
      return personalMessageDigest(intent.message);
    case "evmTypedData": {
      const data = readTypedData(intent.typedData);
      const { chainId } = domainOf(data);
      if (chainId !== undefined && chainId !== intent.chain) throw new IntentError("chain_mismatch");
      return typedDataDigest(data);
    }
  }
}

/** A signed result is thrown away. Enclave or channel are broken; the caller must not use any of it. */
export class ResultError extends PinsealError {
  constructor(code: "result_mismatch" | "result_other_content" | "result_other_signer") {
    super(code, code.replaceAll("_", " "));
  }
}

/** Checks one result against its intent and the signing account's pinned address; throws {@link ResultError}. */
export function verifyResult(intent: Intent, signed: Signed, address: string): void {
  if (signerOf(intent, signed) !== address) throw new ResultError("result_other_signer");
}

function signerOf(intent: Intent, signed: Signed): string | undefined {
  if (intent.kind === "evmTransaction" && signed.kind === "evmTransaction") {
    const { transaction, sender, hash } = parsed(() => parseSigned(signed.raw));
    const isSame = equal(encodeUnsigned(transaction), intent.unsigned) && equal(hash, signed.hash);
    if (!isSame) throw new ResultError("result_other_content");
    return sender;
  }
  if (intent.kind === "evmAuthorization" && signed.kind === "evmAuthorization") {
    const { authorization, authority } = parsed(() => parseSignedAuthorization(signed.tuple));
    const { chain, address, nonce } = authorization;
    const isSame = chain === intent.chain && equal(address, intent.address) && nonce === intent.nonce;
    if (!isSame) throw new ResultError("result_other_content");
    return authority;
  }
  const isText = intent.kind === "evmPersonalMessage" || intent.kind === "evmTypedData";
  if (!isText || signed.kind !== "evmSignature") throw new ResultError("result_mismatch");
  const signature = signatureFromBytes(signed.signature);
  return signature && recoverAddress(signature, digestOf(intent));
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof IntentError ? new ResultError("result_other_content") : error;
  }
}
