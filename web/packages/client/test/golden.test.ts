import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, fromUtf8, toBase64, toHex, utf8 } from "../src/bytes.js";
import { type Codec, decode, encode } from "../src/cbor/codec.js";
import { CborError } from "../src/cbor/error.js";
import { beginReply, signedBeginReply } from "../src/protocol/begin.js";
import { checkpointText, verifyCheckpoint } from "../src/protocol/checkpoint.js";
import { loggedWrite } from "../src/protocol/history.js";
import { intent, signed } from "../src/protocol/intent.js";
import { entry } from "../src/protocol/log.js";
import { anchorLevel, manifest, manifestHash } from "../src/protocol/manifest.js";
import { method } from "../src/protocol/method.js";
import { KIND_ED25519, keyId } from "../src/protocol/note.js";
import { pinParameters } from "../src/protocol/pin.js";
import { refusal } from "../src/protocol/refusal.js";
import { outcome, reply, sealedReply, walletState } from "../src/protocol/reply.js";
import { body, request, requestHeader, sealedRequest, suite } from "../src/protocol/request.js";
import { addressStatement, signedStatement } from "../src/protocol/statement.js";
import { FakeEnclave, makeRoot } from "./enclave.js";
import { hex, vectors } from "./vectors.js";

interface Golden {
  encodings: Record<string, { hex: string; length: number }>;
  hashes: Record<string, string>;
  codes: Record<string, Record<string, number>>;
}
const golden = vectors<Golden>("protocol/golden.json");

/** Messages that a client reads or writes, by the name before the slash. */
const CLIENT: Record<string, Codec<never>> = {
  address_statement: addressStatement,
  begin_reply: beginReply,
  entry,
  logged_write: loggedWrite,
  body,
  intent,
  manifest,
  outcome,
  pin_parameters: pinParameters,
  reply,
  request,
  request_header: requestHeader,
  sealed_reply: sealedReply,
  sealed_request: sealedRequest,
  signed,
  signed_begin_reply: signedBeginReply,
  signed_statement: signedStatement,
} as never;

/** What only host and enclave exchange or store, and texts with tests of their own. */
const NOT_THE_CLIENTS = new Set([
  "access_claims",
  "batch",
  "checkpoint_note",
  "configuration",
  "consistency",
  "from_enclave",
  "frontier",
  "header",
  "inclusion",
  "node",
  "order",
  "record_write",
  "storage_claims",
  "to_enclave",
]);

function stem(name: string): string {
  return name.split("/")[0] ?? name;
}

const messages = Object.entries(golden.encodings).filter(([name]) => !NOT_THE_CLIENTS.has(stem(name)));

function codecOf(name: string): Codec<unknown> {
  const codec = CLIENT[stem(name)];
  assert.ok(
    codec,
    `golden.json has a message "${name}" that neither the client knows nor golden.test.ts lists as not the client's: ` +
      "add its codec to src/protocol, or its name to NOT_THE_CLIENTS",
  );
  return codec as Codec<unknown>;
}

test("every message decodes from its golden bytes and encodes to them again", () => {
  assert.ok(messages.length >= 45, "the vectors are there");
  for (const [name, { hex: encoded, length }] of messages) {
    let value: unknown;
    try {
      value = decode(codecOf(name), hex(encoded));
    } catch (error) {
      assert.fail(`the client does not read "${name}" of golden.json; src/protocol lacks it: ${error}`);
    }
    const again = encode(codecOf(name), value);
    assert.equal(toHex(again), encoded, name);
    assert.equal(again.length, length, name);
  }
});

test("bytes that are cut off, trailed by one, or changed are refused or mean something else", () => {
  for (const [name, { hex: encoded }] of messages) {
    const codec = codecOf(name);
    const bytes = hex(encoded);
    for (let length = 0; length < bytes.length; length += 1) {
      assert.throws(() => decode(codec, bytes.subarray(0, length)), CborError, `${name} cut off at ${length}`);
    }
    assert.throws(() => decode(codec, Uint8Array.of(...bytes, 0)), CborError, `${name} with a byte more`);
    for (let at = 0; at < bytes.length; at += 1) {
      for (const flip of [0x01, 0x10, 0x20, 0x80, 0xff]) {
        const changed = bytes.slice();
        changed[at] = (changed[at] ?? 0) ^ flip;
        let value: unknown;
        try {
          value = decode(codec, changed);
        } catch (error) {
          assert.ok(error instanceof CborError, `${name}: ${error}`);
          continue;
        }
        assert.equal(toHex(encode(codec, value)), toHex(changed), `${name}: two encodings of one value`);
      }
    }
  }
});

test("an absent value at the end is left out, and null in its place is refused", () => {
  const short = hex(golden.encodings.reply?.hex ?? "");
  assert.equal(short[0], 0x85);
  const long = Uint8Array.of(0x86, ...short.slice(1), 0xf6);
  assert.throws(() => decode(reply, long), CborError);
});

test("names have the numbers of the protocol, and none is missing", () => {
  const known: Record<string, Codec<string>> = {
    anchor_level: anchorLevel,
    method,
    refusal,
    suite,
    wallet_state: walletState,
  } as never;
  for (const [kind, numbers] of Object.entries(golden.codes)) {
    if (kind === "halt") continue;
    const codec = known[kind];
    assert.ok(codec, `golden.json has a kind of names "${kind}" that the client does not know`);
    for (const [name, number] of Object.entries(numbers)) {
      assert.deepEqual(
        encode(codec, name),
        Uint8Array.of(...(number < 24 ? [number] : [0x18, number])),
        `${kind} ${name}`,
      );
    }
  }
});

test("the manifest's hash is that of the protocol", async () => {
  assert.equal(toHex(await manifestHash(hex(golden.encodings.manifest?.hex ?? ""))), golden.hashes.manifest);
});

test("a checkpoint's origin counts restores in one way only", async () => {
  const { root, note } = { root: await makeRoot(), note: await (await FakeEnclave.boot(await makeRoot())).note(3n) };
  const of = async (suffix: string) => {
    const [text = ""] = fromUtf8(note)?.split("\n\n") ?? [];
    const [first = "", ...rest] = `${text}\n`.split("\n");
    const name = first + suffix;
    const changed = utf8([name, ...rest].join("\n"));
    const line = toBase64(concat(await keyId(name, KIND_ED25519, root.log.public), await root.log.sign(changed)));
    return verifyCheckpoint(concat(changed, utf8(`\n\u2014 ${name} ${line}\n`)), root.deployment, root.log.public);
  };
  assert.equal((await of(""))?.restores, 0);
  assert.equal((await of("/1"))?.restores, 1);
  assert.equal((await of("/4294967295"))?.restores, 4_294_967_295);
  for (const suffix of ["/", "/0", "/01", "/+1", "/-1", "/1/", "/1/2", "/1x", "/4294967296", "/18446744073709551616"])
    assert.equal(await of(suffix), undefined, suffix);
  // A name of another restore than the text's.
  const other = fromUtf8(note)?.replace("\u2014 pinseal.dev/", "\u2014 pinseal.dev/1/") ?? "";
  assert.equal(await verifyCheckpoint(utf8(other), root.deployment, root.log.public), undefined);
});

interface Checkpoints {
  key: string;
  deployment: string;
  cases: Record<"size" | "root" | "sequence" | "previous" | "time" | "state" | "breaker" | "note", string>[];
}

test("checkpoints verify, say what was signed, and no changed byte does", async () => {
  const { key, deployment, cases } = vectors<Checkpoints>("protocol/checkpoint.json");
  for (const expected of cases) {
    const note = new TextEncoder().encode(expected.note);
    const checkpoint = await verifyCheckpoint(note, hex(deployment), hex(key));
    assert.ok(checkpoint);
    assert.equal(checkpoint.size, BigInt(expected.size));
    assert.equal(toHex(checkpoint.root), expected.root);
    assert.equal(toHex(checkpoint.state), expected.state);
    assert.equal(toHex(checkpoint.breaker), expected.breaker);
    assert.equal(expected.note.startsWith(checkpointText(checkpoint)), true);
    for (let at = 0; at < note.length; at += 1) {
      const changed = note.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      assert.equal(await verifyCheckpoint(changed, hex(deployment), hex(key)), undefined, `byte ${at}`);
    }
    assert.equal(await verifyCheckpoint(note, hex(deployment.replace("00", "01")), hex(key)), undefined);
    assert.equal(await verifyCheckpoint(note, hex(deployment), hex(key.replace("d0", "d1"))), undefined);
  }
});

test("what a TPM's index holds is read where a checkpoint says it, and nowhere else", async () => {
  const { key } = vectors<Checkpoints>("protocol/checkpoint.json");
  const deployment = new Uint8Array(16).fill(0xd0);
  const of = async (name: string) => verifyCheckpoint(hex(golden.encodings[name]?.hex ?? ""), deployment, hex(key));
  assert.equal((await of("checkpoint_note"))?.tpm, null);
  assert.deepEqual((await of("checkpoint_note/tpm"))?.tpm, new Uint8Array(32).fill(0x77));
});
