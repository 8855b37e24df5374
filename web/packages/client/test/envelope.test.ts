import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../src/bytes.js";
import { decode, encode } from "../src/cbor/codec.js";
import { deviceTranscript, EnvelopeError, seal } from "../src/protocol/envelope.js";
import { reply, sealedReply } from "../src/protocol/reply.js";
import { body, requestHeader, sealedRequest } from "../src/protocol/request.js";
import { hex, vectors } from "./vectors.js";

type Case = Record<
  "name" | "header" | "body" | "transcript" | "signature" | "sealed_request" | "reply" | "sealed_reply",
  string
>;
interface File {
  boot: { public: string };
  ephemeral: { ikm: string; enc: string };
  cases: Case[];
}
const file = vectors<File>("protocol/envelope.json");

async function sealCase(vector: Case) {
  const transcripts: string[] = [];
  const { request, opener } = await seal(
    hex(file.boot.public),
    decode(requestHeader, hex(vector.header)),
    decode(body, hex(vector.body)),
    hex(file.ephemeral.ikm),
    async (transcript) => {
      transcripts.push(toHex(transcript));
      return hex(vector.signature);
    },
  );
  return { request, opener, transcripts };
}

test("requests are sealed to the very bytes that Rust seals", async () => {
  assert.ok(file.cases.length >= 3);
  for (const vector of file.cases) {
    const { request, transcripts } = await sealCase(vector);
    assert.equal(toHex(encode(sealedRequest, request)), vector.sealed_request, vector.name);
    assert.deepEqual(transcripts, [vector.transcript], vector.name);
    const again = deviceTranscript(hex(file.ephemeral.enc), hex(vector.header), hex(vector.body));
    assert.equal(toHex(again), vector.transcript);
  }
});

test("replies that Rust sealed open", async () => {
  for (const vector of file.cases) {
    const { opener } = await sealCase(vector);
    const opened = await opener.open(decode(sealedReply, hex(vector.sealed_reply)));
    assert.equal(toHex(encode(reply, opened)), vector.reply, vector.name);
  }
});

test("a changed reply, or one to another request, does not open", async () => {
  const [first, second] = file.cases;
  assert.ok(first && second);
  const { opener } = await sealCase(first);
  const good = decode(sealedReply, hex(first.sealed_reply));
  for (const at of [0, 31, 32, 63, 64, 500, good.ciphertext.length - 1]) {
    const ciphertext = good.ciphertext.slice();
    ciphertext[at] = (ciphertext[at] ?? 0) ^ 1;
    await assert.rejects(opener.open({ ...good, ciphertext }), EnvelopeError, `byte ${at}`);
  }
  await assert.rejects(opener.open({ ...good, ciphertext: good.ciphertext.subarray(0, 31) }), EnvelopeError);
  await assert.rejects(opener.open(decode(sealedReply, hex(second.sealed_reply))), EnvelopeError);
  const otherId = { ...good, request: new Uint8Array(16) };
  await assert.rejects(opener.open(otherId), (error: EnvelopeError) => error.code === "envelope_other_request");
});

test("a request beyond the bound is not sealed", async () => {
  const [vector] = file.cases;
  assert.ok(vector);
  const header = decode(requestHeader, hex(vector.header));
  const content = decode(body, hex(vector.body));
  const message = new Uint8Array(256 * 1024);
  const request = {
    kind: "sign",
    pin: new Uint8Array(32),
    intents: [{ kind: "evmPersonalMessage", account: 0, message }],
  } as const;
  const asked = { ...content, request: { ...request, intents: [...request.intents] } };
  await assert.rejects(
    seal(hex(file.boot.public), header, asked, hex(file.ephemeral.ikm), async () => new Uint8Array(64)),
    (error: EnvelopeError) => error.code === "envelope_malformed",
  );
});
