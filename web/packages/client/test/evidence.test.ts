import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, fromBase64, toHex } from "../src/bytes.js";
import { Writer } from "../src/cbor/writer.js";
import { sha256 } from "../src/crypto/kdf.js";
import { EvidenceError } from "../src/evidence/error.js";
import { measurementOf, Policy } from "../src/evidence/policy.js";
import { authenticate, type Expected, verifyEvidence } from "../src/evidence/verify.js";
import { hex, vectorBytes, vectors } from "./vectors.js";

interface Case {
  name: string;
  root_sha256: string;
  now: string;
  file?: string;
  document?: string;
  result: string;
  certificate?: number;
  expected?: { image: Record<number, string>; user_data: string; nonce: string; age_seconds_max: string };
}
interface Nitro {
  cases: Case[];
  measurement: { image: Record<number, string>; sha256: string };
}
const nitro = vectors<Nitro>("attestation/nitro.json");

/** `[1, [cose]]`. */
function wrap(cose: Bytes): Bytes {
  const write = (writer: Writer) => {
    writer.array(2);
    writer.uint(1);
    writer.array(1);
    writer.bytes(cose);
    return writer;
  };
  const out = new Uint8Array(write(new Writer()).length);
  write(new Writer(out));
  return out;
}

function coseOf(vector: Case): Bytes {
  const bytes = vector.file ? vectorBytes(`attestation/${vector.file}`) : fromBase64(vector.document ?? "");
  assert.ok(bytes, vector.name);
  return bytes;
}

async function judge(vector: Case): Promise<void> {
  const { expected } = vector;
  if (expected === undefined) {
    await authenticate(coseOf(vector), hex(vector.root_sha256), Number(vector.now));
    return;
  }
  await verifyEvidence(wrap(coseOf(vector)), Policy.nitroUnderTestRoot([expected.image], hex(vector.root_sha256)), {
    userData: hex(expected.user_data),
    nonce: hex(expected.nonce),
    now: Number(vector.now),
    ageSecondsMax: Number(expected.age_seconds_max),
  });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "ok";
  } catch (error) {
    assert.ok(error instanceof EvidenceError, String(error));
    return error.certificate === undefined ? error.code : `${error.code} ${error.certificate}`;
  }
}

test("every Nitro document ends as its vector says", async () => {
  const wrong: string[] = [];
  for (const vector of nitro.cases) {
    const wanted = vector.certificate === undefined ? vector.result : `${vector.result} ${vector.certificate}`;
    const code = await codeOf(judge(vector));
    if (code !== wanted) wrong.push(`${vector.name}: ${code}, not ${wanted}`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(nitro.cases.length > 80);
});

test("one bit flipped in every seventeenth byte of a document that AWS signed is noticed", async () => {
  const vector = nitro.cases.find(({ file, result }) => file !== undefined && result === "ok");
  assert.ok(vector);
  const good = coseOf(vector);
  for (let at = 0; at < good.length; at += 17) {
    const changed = good.slice();
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
    const code = await codeOf(authenticate(changed, hex(vector.root_sha256), Number(vector.now)));
    assert.notEqual(code, "ok", `byte ${at}`);
  }
});

test("the pinned root is the one that AWS publishes, and test documents are not under it", async () => {
  const real = nitro.cases.find(({ file, result }) => file !== undefined && result === "ok");
  const made = nitro.cases.find(({ name }) => name === "correct");
  assert.ok(real && made?.expected);
  const { image, user_data, nonce, age_seconds_max } = made.expected;
  const policy = Policy.nitro([image]);
  assert.ok(policy.trust.kind === "nitro" && policy.trust.isAws);
  assert.equal(toHex(policy.trust.rootSha256), real.root_sha256);
  const expected = {
    userData: hex(user_data),
    nonce: hex(nonce),
    now: Number(made.now),
    ageSecondsMax: Number(age_seconds_max),
  };
  assert.equal(await codeOf(verifyEvidence(wrap(coseOf(made)), policy, expected)), "root_unknown");
});

test("an image's name is a hash of its three registers", async () => {
  const pcrs = new Map(Object.entries(nitro.measurement.image).map(([index, value]) => [Number(index), hex(value)]));
  assert.equal(toHex(await measurementOf(pcrs)), nitro.measurement.sha256);
});

interface Software {
  development_key: { public: string };
  vectors: (Record<"name" | "measurement" | "user_data" | "nonce" | "time" | "document", string> & {
    document_bytes: number;
  })[];
}
const software = vectors<Software>("attestation/software.json");
const development = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });

function expectedOf(vector: Software["vectors"][number]): Expected {
  const now = Number(vector.time);
  return { userData: hex(vector.user_data), nonce: hex(vector.nonce), now, ageSecondsMax: 300 };
}

test("software evidence is accepted in development mode and nowhere else", async () => {
  for (const vector of software.vectors) {
    if (BigInt(vector.time) > BigInt(Number.MAX_SAFE_INTEGER)) continue;
    const document = hex(vector.document);
    const expected = expectedOf(vector);
    const verified = await verifyEvidence(document, development, expected);
    assert.equal(toHex(verified.measurement), vector.measurement, vector.name);
    assert.match(verified.statement, /proves nothing about hardware/);
    const image = nitro.measurement.image;
    assert.equal(await codeOf(verifyEvidence(document, Policy.nitro([image]), expected)), "software_evidence_refused");
    const listed = (measurement: string) =>
      Policy.development({ iUnderstandThisProvesNothing: true, measurements: [measurement] });
    assert.equal(await codeOf(verifyEvidence(document, listed(vector.measurement), expected)), "ok");
    const other = toHex(await sha256(hex(vector.measurement)));
    assert.equal(await codeOf(verifyEvidence(document, listed(other), expected)), "image_not_trusted");
  }
});

test("software evidence that is changed, late, early or for another question is refused", async () => {
  const vector = software.vectors.find(({ time }) => BigInt(time) > 1000n && BigInt(time) < 1n << 40n);
  assert.ok(vector);
  const document = hex(vector.document);
  const expected = expectedOf(vector);
  const { now } = expected;
  const code = (change: Partial<Expected>) => codeOf(verifyEvidence(document, development, { ...expected, ...change }));
  assert.equal(await code({ userData: new Uint8Array(32) }), "user_data_wrong");
  assert.equal(await code({ nonce: new Uint8Array(32).fill(7) }), "nonce_wrong");
  assert.equal(await code({ now: now + 300 }), "ok");
  assert.equal(await code({ now: now + 301 }), "too_old");
  assert.equal(await code({ now: now - 60 }), "ok");
  assert.equal(await code({ now: now - 61 }), "from_the_future");
  for (let at = 0; at < document.length; at += 1) {
    const changed = document.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.notEqual(await codeOf(verifyEvidence(changed, development, expected)), "ok", `byte ${at}`);
  }
  assert.equal(await codeOf(verifyEvidence(new Uint8Array(20_000), development, expected)), "document_too_long");
});

test("Nitro evidence is refused in development mode", async () => {
  const vector = nitro.cases.find(({ name }) => name === "correct");
  assert.ok(vector);
  const expected = { userData: new Uint8Array(32), nonce: new Uint8Array(32), now: 0, ageSecondsMax: 300 };
  assert.equal(await codeOf(verifyEvidence(wrap(coseOf(vector)), development, expected)), "nitro_evidence_refused");
});

test("a policy names images, and none in debug mode", () => {
  const { image } = nitro.measurement;
  const zero = "00".repeat(48);
  for (const images of [
    [],
    [{ ...image, 0: zero }],
    [{ ...image, 3: zero }],
    [{ 0: image[0] ?? "", 1: image[1] ?? "" }],
  ]) {
    assert.throws(() => Policy.nitro(images), RangeError);
  }
  assert.throws(() => Policy.nitro([{ ...image, 32: image[0] ?? "" }]), RangeError);
  assert.throws(() => Policy.development({ iUnderstandThisProvesNothing: true, measurements: [] }), RangeError);
});
