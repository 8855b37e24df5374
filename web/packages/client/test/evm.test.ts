import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex, utf8 } from "../src/bytes.js";
import { checksum, parseAddress } from "../src/evm/address.js";
import { authorizationDigest, parseSignedAuthorization } from "../src/evm/authorization.js";
import { IntentError } from "../src/evm/error.js";
import { digestOf, personalMessageDigest, ResultError, verifyResult } from "../src/evm/prepare.js";
import { recoverAddress, signatureFromBytes } from "../src/evm/signature.js";
import { encodeUnsigned, parseSigned, parseUnsigned, transactionDigest } from "../src/evm/transaction.js";
import { readTypedData, writeTypedData } from "../src/evm/typed-data/canonical.js";
import { domainOf } from "../src/evm/typed-data/domain.js";
import { typedDataDigest } from "../src/evm/typed-data/hash.js";
import { readJson } from "../src/evm/typed-data/json.js";
import type { Intent, Signed } from "../src/protocol/intent.js";
import { hex, vectors } from "./vectors.js";

const prefixed = (bytes: Uint8Array) => `0x${toHex(bytes)}`;

test("addresses have their EIP-55 spelling, and mistyped ones are refused", () => {
  const file = vectors<{ checksummed: string[]; refused: { name: string; text: string }[] }>("evm/addresses.json");
  for (const text of file.checksummed) {
    const address = parseAddress(text);
    assert.ok(typeof address !== "string", text);
    assert.equal(checksum(address), text);
  }
  for (const { name, text } of file.refused) assert.equal(typeof parseAddress(text), "string", name);
});

interface Transactions {
  cases: Record<"name" | "unsigned" | "digest" | "signed" | "hash" | "sender", string>[];
  refused: { name: string; unsigned: string }[];
}

test("transactions read and write their unsigned payload, and their sender recovers", () => {
  const file = vectors<Transactions>("evm/transactions.json");
  assert.ok(file.cases.length >= 15);
  for (const { name, unsigned, digest, signed: raw, hash, sender } of file.cases) {
    const transaction = parseUnsigned(hex(unsigned));
    assert.equal(prefixed(encodeUnsigned(transaction)), unsigned, name);
    assert.equal(prefixed(transactionDigest(transaction)), digest, name);
    const signed = parseSigned(hex(raw));
    assert.equal(signed.sender, sender, name);
    assert.equal(prefixed(signed.hash), hash, name);
    assert.equal(prefixed(encodeUnsigned(signed.transaction)), unsigned, name);
  }
  for (const { name, unsigned } of file.refused) assert.throws(() => parseUnsigned(hex(unsigned)), IntentError, name);
});

interface Authorizations {
  cases: {
    name: string;
    authority: string;
    chain: number;
    address: string;
    nonce: number;
    digest: string;
    tuple: string;
  }[];
}

test("authorizations have the digest of EIP-7702, and their authority recovers", () => {
  for (const vector of vectors<Authorizations>("evm/authorizations.json").cases) {
    const authorization = { chain: BigInt(vector.chain), address: hex(vector.address), nonce: BigInt(vector.nonce) };
    assert.equal(prefixed(authorizationDigest(authorization)), vector.digest, vector.name);
    const signed = parseSignedAuthorization(hex(vector.tuple));
    assert.deepEqual(signed.authorization, authorization, vector.name);
    assert.equal(signed.authority, vector.authority, vector.name);
  }
});

test("personal messages have the digest of EIP-191, and their signer recovers", () => {
  type Case = Record<"name" | "signer" | "message" | "digest" | "signature", string>;
  for (const { name, signer, message, digest, signature } of vectors<{ cases: Case[] }>("evm/personal-messages.json")
    .cases) {
    assert.equal(prefixed(personalMessageDigest(hex(message))), digest, name);
    const read = signatureFromBytes(hex(signature));
    assert.equal(read && recoverAddress(read, hex(digest)), signer, name);
  }
});

interface TypedDataFile {
  cases: {
    name: string;
    json: unknown;
    cbor: string;
    domain_chain_id: string | null;
    digest: string;
    signer: string;
    signature: string;
  }[];
  refused_json: { name: string; error: string; text: string }[];
  refused_cbor: { name: string; error: string; cbor: string }[];
}
const typedData = vectors<TypedDataFile>("evm/typed-data.json");

test("typed data go from JSON to the canonical form, back, and to the digest of EIP-712", () => {
  assert.ok(typedData.cases.length >= 15);
  for (const vector of typedData.cases) {
    const fromJson = readJson(JSON.stringify(vector.json));
    assert.equal(prefixed(writeTypedData(fromJson)), vector.cbor, vector.name);
    const data = readTypedData(hex(vector.cbor));
    assert.equal(prefixed(writeTypedData(data)), vector.cbor, vector.name);
    assert.equal(prefixed(typedDataDigest(data)), vector.digest, vector.name);
    assert.equal(domainOf(data).chainId?.toString() ?? null, vector.domain_chain_id, vector.name);
    const signature = signatureFromBytes(hex(vector.signature));
    assert.equal(signature && recoverAddress(signature, hex(vector.digest)), vector.signer, vector.name);
  }
});

test("typed data that leave a doubt are refused, for the reason that Rust gives", () => {
  const code = (error: string) =>
    error
      .replace(/^.*problem: (\w+).*$/s, "$1")
      .replace(/\B([A-Z])/g, "_$1")
      .toLowerCase();
  const wrong: string[] = [];
  const refuse = (name: string, wanted: string, read: () => unknown) => {
    try {
      read();
      wrong.push(`${name}: accepted`);
    } catch (error) {
      assert.ok(error instanceof IntentError, `${name}: ${error}`);
      // Which of the two a lax encoding is called is a matter of the reader.
      const isLax = ["typed_data_malformed", "typed_data_not_canonical"].includes(error.code);
      const isSame = isLax ? /^(Malformed|NotCanonical)$/.test(wanted) : error.code === `typed_data_${code(wanted)}`;
      if (!isSame) wrong.push(`${name}: ${error.code}, not ${wanted}`);
    }
  };
  for (const { name, error, text } of typedData.refused_json) refuse(name, error, () => readJson(text));
  for (const { name, error, cbor } of typedData.refused_cbor) refuse(name, error, () => readTypedData(hex(cbor)));
  assert.deepEqual(wrong, []);
});

test("a result counts only for its intent and its account", () => {
  type Case = Record<"signer" | "message" | "signature", string>;
  const [first, second] = vectors<{ cases: Case[] }>("evm/personal-messages.json").cases;
  assert.ok(first && second);
  const intent: Intent = { kind: "evmPersonalMessage", account: 0, message: hex(first.message) };
  const signed: Signed = { kind: "evmSignature", signature: hex(first.signature) };
  verifyResult(intent, signed, first.signer);
  const code = (intent: Intent, signed: Signed, address = first.signer) => {
    try {
      verifyResult(intent, signed, address);
      return "ok";
    } catch (error) {
      return error instanceof ResultError ? error.code : String(error);
    }
  };
  assert.equal(code(intent, { ...signed, signature: hex(second.signature) }), "result_other_signer");
  assert.equal(code({ ...intent, message: utf8("another") }, signed), "result_other_signer");
  assert.equal(code(intent, { kind: "evmAuthorization", tuple: new Uint8Array(0) }), "result_mismatch");
  const [one, other] = vectors<Transactions>("evm/transactions.json").cases.slice(1);
  assert.ok(one && other);
  const asked = (unsigned: string): Intent => ({
    kind: "evmTransaction",
    account: 0,
    chain: parseUnsigned(hex(unsigned)).chain,
    unsigned: hex(unsigned),
  });
  const result: Signed = { kind: "evmTransaction", raw: hex(one.signed), hash: hex(one.hash) };
  assert.equal(code(asked(one.unsigned), result, one.sender), "ok");
  assert.equal(code(asked(other.unsigned), result, one.sender), "result_other_content");
  assert.equal(code(asked(one.unsigned), { ...result, hash: new Uint8Array(32) }, one.sender), "result_other_content");
  assert.equal(code(asked(one.unsigned), result, "0x0000000000000000000000000000000000000000"), "result_other_signer");
});

test("an intent for another chain, account or length is refused before a PIN is spent", () => {
  const [vector] = typedData.cases;
  assert.ok(vector);
  const intent: Intent = { kind: "evmTypedData", account: 0, chain: 1n, typedData: hex(vector.cbor) };
  digestOf(intent);
  assert.throws(
    () => digestOf({ ...intent, chain: 2n }),
    (error: IntentError) => error.code === "chain_mismatch",
  );
  assert.throws(() => digestOf({ ...intent, account: 1000 }), IntentError);
  const long: Intent = { kind: "evmPersonalMessage", account: 0, message: new Uint8Array(64 * 1024 + 1) };
  assert.throws(() => digestOf(long), IntentError);
});
