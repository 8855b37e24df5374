/** An enclave of a few lines behind a host of fewer: it opens what a client seals and answers what a test wants. */

import assert from "node:assert/strict";
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { type Bytes, concat, fromHex, toBase64, toHex, utf8 } from "../src/bytes.js";
import { decode, encode } from "../src/cbor/codec.js";
import { Writer } from "../src/cbor/writer.js";
import { hkdf, sha256 } from "../src/crypto/kdf.js";
import { Client, type Environment, MemoryStore, Policy, system } from "../src/index.js";
import { type BeginReply, beginReply, signedBeginReply } from "../src/protocol/begin.js";
import { checkpointText, origin } from "../src/protocol/checkpoint.js";
import { deviceTranscript } from "../src/protocol/envelope.js";
import { type Manifest, manifest, manifestHash } from "../src/protocol/manifest.js";
import type { Method } from "../src/protocol/method.js";
import { KIND_ED25519, keyId } from "../src/protocol/note.js";
import type { PinParameters } from "../src/protocol/pin.js";
import { type Reply, reply, sealedReply } from "../src/protocol/reply.js";
import { type Body, body, plaintext, requestHeader, sealedRequest } from "../src/protocol/request.js";
import { addressStatement, type SignedStatement } from "../src/protocol/statement.js";

export const NOW = 1_800_000_000;
const FLOOR: PinParameters = { salt: new Uint8Array(16), argon2: { memoryKib: 19 * 1024, passes: 2, lanes: 1 } };
const LABEL = "pinseal software evidence, development key 1: public by design, proves nothing about hardware";

interface Ed25519 {
  readonly public: Bytes;
  sign(message: Bytes): Promise<Bytes>;
}

async function ed25519(seed: Bytes): Promise<Ed25519> {
  const pkcs8 = concat(fromHex("302e020100300506032b657004220420") ?? new Uint8Array(0), seed);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "Ed25519" }, true, ["sign"]);
  const { x = "" } = await crypto.subtle.exportKey("jwk", key);
  return {
    public: new Uint8Array(Buffer.from(x, "base64url")),
    sign: async (message) => new Uint8Array(await crypto.subtle.sign({ name: "Ed25519" }, key, message)),
  };
}

/** The keys of a deployment that survive its boots. */
export interface Root {
  readonly deployment: Bytes;
  readonly log: Ed25519;
}

export async function makeRoot(seed = 1): Promise<Root> {
  return { deployment: new Uint8Array(16).fill(seed), log: await ed25519(new Uint8Array(32).fill(seed)) };
}

/** What a test wants of a reply; the rest is that of a success. */
export type Answer = Partial<Omit<Reply, "request">>;

export class FakeEnclave {
  readonly root: Root;
  /** Log entries. */
  size = 10n;
  /** How often an older state was put back. */
  restores = 0;
  /** Changes what one boot states. */
  manifestOf: (honest: Manifest) => Manifest = (honest) => honest;
  beginOf: (honest: BeginReply) => BeginReply = (honest) => honest;
  /** Answers to sealed requests, each once; then that the PIN is right. */
  readonly answers: ((asked: Body) => Answer | Promise<Answer>)[] = [];
  /** What reached it, by method or path. */
  readonly seen: string[] = [];
  version = 1n;
  readonly #suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  readonly #hpke: CryptoKeyPair;
  readonly #boot: Ed25519;
  #tokens = 1;

  private constructor(root: Root, hpke: CryptoKeyPair, boot: Ed25519) {
    this.root = root;
    this.#hpke = hpke;
    this.#boot = boot;
  }

  static async boot(root: Root): Promise<FakeEnclave> {
    const hpke = await new DhkemX25519HkdfSha256().generateKeyPair();
    return new FakeEnclave(root, hpke, await ed25519(crypto.getRandomValues(new Uint8Array(32))));
  }

  /** A client of it, logged in as `user`. */
  async client(
    store = new MemoryStore(),
    user = "ada@example.org",
    change: Partial<Environment> = {},
  ): Promise<Client> {
    const environment = { ...system, now: () => NOW, sleep: async () => undefined, fetch: this.fetch, ...change };
    const policy = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });
    const argon2 = async () => new Uint8Array(32).fill(7);
    const app = { id: "a", key: "k" };
    const client = new Client({ server: "http://localhost:1", app, policy, store, environment, argon2 });
    const session = {
      user,
      userId: "u",
      sessionId: "s",
      accessToken: "access",
      accessExpires: NOW + 900,
      refreshToken: "r",
    };
    await client.vault.update((profile) => ({ ...profile, session }));
    return client;
  }

  /** A checkpoint signed by `log`; its root follows from size and branch. */
  async note(size: bigint, branch = 0, log = this.root.log, restores = this.restores): Promise<Bytes> {
    const { deployment } = this.root;
    const zero = new Uint8Array(32);
    const root = await sha256(utf8(`${size} ${branch}`));
    const checkpoint = {
      deployment,
      restores,
      size,
      root,
      sequence: size,
      previous: zero,
      time: 1n,
      state: zero,
      breaker: new Uint8Array(81),
      tpm: null,
    };
    const [text, name] = [checkpointText(checkpoint), origin(deployment, restores)];
    const id = await keyId(name, KIND_ED25519, log.public);
    return utf8(`${text}\n\u2014 ${name} ${toBase64(concat(id, await log.sign(utf8(text))))}\n`);
  }

  async statement(
    index: number,
    address: Bytes,
    change: { wallet?: Bytes; network?: string; log?: Ed25519 } = {},
  ): Promise<SignedStatement> {
    const statement = encode(addressStatement, {
      deployment: this.root.deployment,
      wallet: change.wallet ?? this.wallet,
      path: `m/44'/60'/0'/0/${index}`,
      network: change.network ?? "eip155",
      address,
    });
    const signature = await (change.log ?? this.root.log).sign(concat(utf8("pinseal address v1\0"), statement));
    return { statement, signature };
  }

  readonly wallet = new Uint8Array(32).fill(0x0a);

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const { pathname, searchParams } = new URL(url);
    const json = typeof init.body === "string" ? (JSON.parse(init.body) as Record<string, string>) : {};
    switch (pathname) {
      case "/v1/evidence":
        return Response.json(await this.#evidence(fromHex(searchParams.get("nonce") ?? "") ?? new Uint8Array(0)));
      case "/v1/wallet/begin":
        this.seen.push(`begin ${json.method}`);
        return Response.json(await this.#begin(json.method as Method, init));
      case "/v1/wallet/sealed":
        return Response.json(await this.#sealed(fromHex(json.request ?? "") ?? new Uint8Array(0)));
      case "/v1/session/refresh":
        this.seen.push("refresh");
        this.#tokens += 1;
        return Response.json({
          user_id: "u",
          access_token: `access ${this.#tokens}`,
          access_expires_at: NOW + 900,
          refresh_token: `r ${this.#tokens}`,
          session_id: "s",
          login_status: "complete",
        });
      default:
        return Response.json({});
    }
  };

  async #manifest(): Promise<Bytes> {
    const honest: Manifest = {
      version: 1,
      deployment: this.root.deployment,
      hpke: new Uint8Array(await this.#suite.kem.serializePublicKey(this.#hpke.publicKey)),
      boot: this.#boot.public,
      log: this.root.log.public,
      configuration: new Uint8Array(32),
      anchor: "L1",
      floor: "L0",
      checkpoint: await this.note(this.size),
      witnesses: undefined,
      tpm: undefined,
    };
    this.#stated ??= encode(manifest, this.manifestOf(honest));
    return this.#stated;
  }
  #stated: Bytes | undefined;

  async #evidence(nonce: Bytes): Promise<Record<string, string>> {
    const stated = await this.#manifest();
    const payload = cbor(
      (writer) => {
        writer.array(4);
        writer.bytes(new Uint8Array(32));
      },
      await manifestHash(stated),
      nonce,
      NOW,
    );
    const key = await ed25519(await sha256(utf8(LABEL)));
    const signature = await key.sign(concat(utf8("pinseal/evidence/software/v1\0"), payload));
    const document = cbor(
      (writer) => {
        writer.array(2);
        writer.uint(0);
        writer.array(2);
      },
      payload,
      signature,
    );
    return { document: toHex(document), manifest: toHex(stated) };
  }

  #challenge(): Bytes {
    const challenge = new Uint8Array(56);
    new DataView(challenge.buffer).setBigUint64(16, this.version);
    return challenge;
  }

  async #begin(asked: Method, init: RequestInit): Promise<Record<string, string>> {
    const proof = (init.headers as Record<string, string>).dpop ?? "";
    const { jwk } = JSON.parse(Buffer.from(proof.split(".")[0] ?? "", "base64url").toString()) as { jwk: unknown };
    const honest: BeginReply = {
      manifest: await manifestHash(await this.#manifest()),
      wallet: this.wallet,
      device: await sha256(utf8(JSON.stringify(jwk))),
      method: asked,
      challenge: this.#challenge(),
      state: "active",
      enrolled: true,
      current: FLOOR,
      pending: FLOOR,
      next: FLOOR,
      time: BigInt(NOW),
    };
    const encoded = encode(beginReply, this.beginOf(honest));
    const signature = await this.#boot.sign(concat(utf8("pinseal begin v1\0"), encoded));
    return { begin: toHex(encode(signedBeginReply, { reply: encoded, signature })), storage_token: "storage" };
  }

  async #sealed(bytes: Bytes): Promise<Record<string, string>> {
    const { header, enc, ciphertext } = decode(sealedRequest, bytes);
    const aad = encode(requestHeader, header);
    const info = concat(utf8("pinseal request v1\0"), header.manifest);
    const context = await this.#suite.createRecipientContext({ recipientKey: this.#hpke.privateKey, enc, info });
    const opened = decode(plaintext, new Uint8Array(await context.open(ciphertext, aad)));
    const asked = decode(body, opened.body);
    await checkDevice(asked, deviceTranscript(enc, aad, opened.body), opened.signature);
    this.seen.push(`sealed ${header.method}`);
    const honest: Reply = {
      request: header.request,
      time: BigInt(NOW),
      tries: { left: 5, lifeLeft: 100, delaySeconds: 0 },
      receipt: await this.note(this.size),
      outcome: { kind: "pinVerified" },
      next: undefined,
    };
    const answer = encode(reply, { ...honest, ...(await this.answers.shift()?.(asked)) });
    const padded = new Uint8Array(Math.ceil((answer.length + 1) / 1024) * 1024);
    padded.set(answer);
    padded[answer.length] = 0x80;
    const salt = crypto.getRandomValues(new Uint8Array(32));
    const key = new Uint8Array(await context.export(utf8("pinseal reply v1"), 32));
    const sealed = concat(salt, await sealCommitted(key, concat(utf8("reply"), salt), aad, padded));
    return {
      reply: toHex(encode(sealedReply, { request: header.request, ciphertext: sealed })),
      storage_token: "next",
    };
  }

  /** What a signature's reply leaves for the next one. */
  next(parameters = FLOOR): NonNullable<Reply["next"]> {
    return {
      challenge: this.#challenge(),
      state: "active",
      enrolled: true,
      current: parameters,
      pending: undefined,
      next: FLOOR,
    };
  }
}

/** The device signed exactly this. */
async function checkDevice({ deviceKey }: Body, transcript: Bytes, signature: Bytes): Promise<void> {
  const key = await crypto.subtle.importKey("raw", deviceKey, { name: "ECDSA", namedCurve: "P-256" }, false, [
    "verify",
  ]);
  assert.ok(await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, transcript));
}

async function sealCommitted(key: Bytes, info: Bytes, aad: Bytes, plain: Bytes): Promise<Bytes> {
  const derived = await hkdf(key, new Uint8Array(0), info, 64);
  const aes = await crypto.subtle.importKey("raw", derived.slice(0, 32), "AES-GCM", false, ["encrypt"]);
  const parameters = { name: "AES-GCM", iv: new Uint8Array(12), additionalData: aad };
  return concat(derived.slice(32), new Uint8Array(await crypto.subtle.encrypt(parameters, aes, plain)));
}

function cbor(start: (writer: Writer) => void, ...rest: readonly (Bytes | number)[]): Bytes {
  const write = (writer: Writer) => {
    start(writer);
    for (const part of rest) typeof part === "number" ? writer.uint(part) : writer.bytes(part);
    return writer;
  };
  const out = new Uint8Array(write(new Writer()).length);
  write(new Writer(out));
  return out;
}
