/**
 * Requests sealed here under fixed keys, for the Rust enclave to open (crates/protocol/tests/it/typescript.rs). UPDATE=1 writes them
 * again. The other way round, replies that Rust sealed are opened in envelope.test.ts.
 */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { type Bytes, toBase64Url, toHex } from "../src/bytes.js";
import { decode, encode } from "../src/cbor/codec.js";
import { sha256 } from "../src/crypto/kdf.js";
import { type DeviceKey, signEs256, thumbprint } from "../src/profile/device.js";
import { seal } from "../src/protocol/envelope.js";
import { type Body, body, type Request, request, requestHeader, sealedRequest } from "../src/protocol/request.js";
import { hex, vectors } from "./vectors.js";

const FILE = new URL("../../../../../vectors/protocol/typescript.json", import.meta.url);

interface Case {
  name: string;
  ephemeral: string;
  header: string;
  body: string;
  signature: string;
  sealed_request: string;
}
const { boot } = vectors<{ boot: { ikm: string; public: string } }>("protocol/envelope.json");
const { encodings } = vectors<{ encodings: Record<string, { hex: string }> }>("protocol/golden.json");

/** One request of every kind that the golden file has. */
const requests = Object.entries(encodings)
  .filter(([name]) => name.startsWith("request/"))
  .map(([name, encoded]) => [name.slice("request/".length), decode(request, hex(encoded.hex))] as const);

async function fixedDevice(): Promise<DeviceKey> {
  const { device } = vectors<{ device: { d: string; x: string; y: string } }>("protocol/token.json");
  const jwk = { kty: "EC", crv: "P-256", x: device.x, y: device.y, d: toBase64Url(hex(device.d)) };
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const privateKey = await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
  const { d: _, ...open } = jwk;
  const publicKey = await crypto.subtle.importKey("jwk", open, algorithm, true, ["verify"]);
  return { privateKey, publicKey: new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)) };
}

async function sealWith(
  header: Bytes,
  content: Bytes,
  ephemeral: Bytes,
  sign: (transcript: Bytes) => Promise<Bytes>,
): Promise<string> {
  const read = decode(requestHeader, header);
  const sealed = await seal(hex(boot.public), read, decode(body, content), ephemeral, sign);
  return toHex(encode(sealedRequest, sealed.request));
}

async function make(name: string, asked: Request, device: DeviceKey): Promise<Case> {
  const accessToken = "header.claims.signature";
  const content: Body = {
    accessToken,
    deviceKey: device.publicKey,
    receipt: new TextEncoder().encode("a signed note"),
    request: asked,
  };
  const header = encode(requestHeader, {
    version: 1,
    suite: "x25519_aes256gcm",
    manifest: new Uint8Array(32).fill(0x3a),
    method: asked.kind,
    request: new Uint8Array(16).fill(0x1d),
    challenge: new Uint8Array(56).fill(0xc4),
    token: await sha256(new TextEncoder().encode(accessToken)),
    device: await thumbprint(device),
    receiptSize: 300n,
  });
  const encoded = encode(body, content);
  const ephemeral = await sha256(new TextEncoder().encode(`ephemeral ${name}`));
  let signature: Bytes = new Uint8Array(64);
  const sealed = await sealWith(header, encoded, ephemeral, async (transcript) => {
    signature = await signEs256(device, transcript);
    return signature;
  });
  return {
    name,
    ephemeral: toHex(ephemeral),
    header: toHex(header),
    body: toHex(encoded),
    signature: toHex(signature),
    sealed_request: sealed,
  };
}

test("what Rust opens is what this client seals, for every kind of request", async () => {
  if (process.env.UPDATE) {
    const device = await fixedDevice();
    const cases = await Promise.all(requests.map(([name, asked]) => make(name, asked, device)));
    const file = {
      source: "web/packages/client/test/interop.test.ts; written again by UPDATE=1",
      license: "Apache-2.0",
      boot_ikm: boot.ikm,
      cases,
    };
    writeFileSync(FILE, `${JSON.stringify(file, null, 2)}\n`);
  }
  const { cases } = JSON.parse(readFileSync(FILE, "utf8")) as { cases: Case[] };
  assert.deepEqual(
    cases.map(({ name }) => name),
    requests.map(([name]) => name),
    "vectors/protocol/typescript.json has other requests than golden.json: write it again with UPDATE=1",
  );
  for (const { name, ephemeral, header, body: content, signature, sealed_request } of cases) {
    const again = await sealWith(hex(header), hex(content), hex(ephemeral), async () => hex(signature));
    assert.equal(again, sealed_request, name);
    const { request: asked } = decode(body, hex(content));
    assert.equal(toHex(encode(request, asked)), encodings[`request/${name}`]?.hex, name);
  }
});
