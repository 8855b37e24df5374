import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "../src/api/error.js";
import { ServerUrl } from "../src/api/server.js";
import { fromBase64Url, fromUtf8, utf8 } from "../src/bytes.js";
import {
  Client,
  IndexedDbStore,
  MemoryStore,
  type Outgoing,
  Policy,
  type Profile,
  type ProfileStore,
  type Session,
  system,
} from "../src/index.js";
import { publicJwk } from "../src/profile/device.js";

const policy = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });
const NOW = 1_800_000_000;

interface Seen {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Record<string, unknown>;
}

/** A login service of a few lines: refresh tokens are good for one use, and a second one ends the session. */
class FakeServer {
  readonly seen: Seen[] = [];
  /** Answers before the honest ones, each once. */
  readonly first: ((seen: Seen) => Response | Promise<Response>)[] = [];
  #generation = 1;

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const body = typeof init.body === "string" ? (JSON.parse(init.body) as Record<string, unknown>) : {};
    const seen = { path: new URL(url).pathname, headers: init.headers as Record<string, string>, body };
    this.seen.push(seen);
    const special = this.first.shift();
    if (special !== undefined) return special(seen);
    // The other caller's turn, as on a network.
    await new Promise((resolve) => setImmediate(resolve));
    if (seen.path !== "/v1/session/refresh")
      return Response.json({ user_id: "u", email: "a@b", login_status: "complete" });
    if (body.refresh_token !== `refresh ${this.#generation}`) return problem(401, "refresh_reused");
    this.#generation += 1;
    return Response.json({
      user_id: "u",
      access_token: `access ${this.#generation}`,
      access_expires_at: NOW + 600,
      refresh_token: `refresh ${this.#generation}`,
      session_id: "s",
      login_status: "complete",
    });
  };
}

function problem(status: number, code: string, headers: Record<string, string> = {}): Response {
  return Response.json({ code, title: code, retryable: false, trace_id: "t" }, { status, headers });
}

function client(server: FakeServer, store: ProfileStore): Client {
  const environment = { ...system, now: () => NOW, sleep: async () => undefined, fetch: server.fetch };
  return new Client({ server: "http://localhost:1", app: { id: "a", key: "k" }, policy, store, environment });
}

async function loggedIn(store: ProfileStore, accessExpires: number, user = "a@b"): Promise<void> {
  const session: Session = {
    user,
    userId: "u",
    sessionId: `s of ${user}`,
    accessToken: "access 1",
    accessExpires,
    refreshToken: "refresh 1",
  };
  await client(new FakeServer(), store).vault.update((profile) => ({ ...profile, session }));
}

const stores: [string, () => ProfileStore][] = [
  ["in memory", () => new MemoryStore()],
  ["in IndexedDB", () => new IndexedDbStore(`profile ${Math.random()}`)],
];

for (const [where, make] of stores) {
  test(`two calls at once refresh a session once, ${where}`, async () => {
    const server = new FakeServer();
    const store = make();
    await loggedIn(store, NOW + 10);
    await Promise.all([
      client(server, store).login.me(),
      client(server, store).login.me(),
      client(server, store).login.me(),
    ]);
    assert.equal(server.seen.filter(({ path }) => path === "/v1/session/refresh").length, 1);
    assert.equal((await client(server, store).profile()).session?.accessToken, "access 2");
  });

  test(`a profile is kept with its device key, ${where}`, async () => {
    const store = make();
    const before = await client(new FakeServer(), store).deviceId();
    assert.deepEqual(await client(new FakeServer(), store).deviceId(), before);
    const { device } = await client(new FakeServer(), store).profile();
    assert.equal(device.privateKey.extractable, false);
    await assert.rejects(crypto.subtle.exportKey("pkcs8", device.privateKey));
  });

  test(`what was signed is kept to the last byte, ${where}`, async () => {
    const store = make();
    const outgoing: Outgoing[] = [
      {
        network: "eip155:1",
        from: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        nonce: 2n ** 64n - 2n,
        hash: `0x${"ab".repeat(32)}`,
        unsigned: Uint8Array.of(2, 192),
        signedAt: NOW,
        state: "waiting",
        known: "awaited",
      },
    ];
    await client(new FakeServer(), store).vault.update((profile) => ({ ...profile, outgoing }));
    assert.deepEqual(await client(new FakeServer(), store).outgoing(), outgoing);
  });

  test(`a profile from before transactions were kept has none, ${where}`, async () => {
    const store = make();
    const { outgoing: _, ...old } = await client(new FakeServer(), store).profile();
    await store.exclusive(({ save }) => save(old as Profile));
    assert.equal("outgoing" in ((await store.exclusive(({ load }) => load())) ?? {}), false);
    assert.deepEqual(await client(new FakeServer(), store).profile(), { ...old, outgoing: [] });
    await loggedIn(store, NOW + 600);
    assert.deepEqual(await client(new FakeServer(), store).outgoing(), []);
  });
}

test("a reset names the device that it is done on, whose next login strangers' tries do not hold up", async () => {
  const server = new FakeServer();
  const store = new MemoryStore();
  server.first.push(() => Response.json({}));
  await client(server, store).login.reset("a@b", "12345678", "brand-new-pass-2");
  const { device } = await client(server, store).profile();
  const seen = server.seen.map(({ path, body }) => ({ path, body }));
  const body = { email: "a@b", code: "12345678", new_password: "brand-new-pass-2", device_jwk: publicJwk(device) };
  assert.deepEqual(seen, [{ path: "/v1/login/email/reset", body }]);
});

/** Web Locks as far as they are used: whoever asks for a name waits for those who asked before. */
class FakeLocks {
  readonly asked: string[] = [];
  readonly #last = new Map<string, Promise<unknown>>();

  request<T>(name: string, work: () => Promise<T>): Promise<T> {
    this.asked.push(name);
    const mine = (this.#last.get(name) ?? Promise.resolve()).then(work);
    this.#last.set(
      name,
      mine.catch(() => undefined),
    );
    return mine;
  }
}

test("two tabs that refresh at once take turns by Web Locks, so that neither ends the other's session", async () => {
  const locks = new FakeLocks();
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  try {
    const server = new FakeServer();
    const tab = () => new IndexedDbStore("two tabs");
    await loggedIn(tab(), NOW + 10);
    const [one, two] = [client(server, tab()), client(server, tab())];
    await Promise.all([one.login.me(), two.login.me()]);
    assert.equal(server.seen.filter(({ path }) => path === "/v1/session/refresh").length, 1);
    assert.ok(locks.asked.every((name) => name === "pinseal profile two tabs"));
  } finally {
    Reflect.deleteProperty(globalThis, "navigator");
  }
});

test("a change that throws changes nothing, and the next one goes on", async () => {
  const { vault } = client(new FakeServer(), new MemoryStore());
  await assert.rejects(vault.update(() => assert.fail("no")));
  assert.equal((await vault.read()).session, undefined);
});

test("a token that the server calls expired is refreshed once, and a session that ended is forgotten", async () => {
  const server = new FakeServer();
  const store = new MemoryStore();
  await loggedIn(store, NOW + 10_000);
  server.first.push(() => problem(401, "token_expired"));
  await client(server, store).login.me();
  // After a change of the issuer's key the old tokens are invalid, and the session goes on.
  server.first.push(() => problem(401, "token_invalid"));
  await client(server, store).login.me();
  assert.deepEqual(
    server.seen.splice(3).map(({ path }) => path),
    ["/v1/me", "/v1/session/refresh", "/v1/me"],
  );
  assert.deepEqual(
    server.seen.map(({ path }) => path),
    ["/v1/me", "/v1/session/refresh", "/v1/me"],
  );
  server.first.push(() => problem(401, "session_revoked"));
  await assert.rejects(
    client(server, store).login.me(),
    (error: ApiError) => error.isSessionEnd && error.code === "session_revoked",
  );
  assert.equal((await store.exclusive(({ load }) => load()))?.session, undefined);
  await assert.rejects(client(server, store).login.me(), (error: ApiError) => error.code === "not_logged_in");
});

test("a call is made once more for whoever began it, and for nobody who has logged in meanwhile", async () => {
  const changed = (error: ApiError) => error.code === "user_changed";
  const cases: [string, () => Response, (made: Client) => Promise<unknown>][] = [
    ["an expired token", () => problem(401, "token_expired"), ({ login }) => login.me()],
    ["no answer", () => problem(503, "overloaded"), ({ networks }) => networks.prepare(payment)],
    ["a logout", () => problem(401, "token_invalid"), ({ login }) => login.logOut()],
  ];
  const payment = { network: "eip155:1", from: "0x", value: 0n };
  for (const [said, answer, call] of cases) {
    const server = new FakeServer();
    const store = new MemoryStore();
    await loggedIn(store, NOW + 10_000);
    server.first.push(async () => {
      await loggedIn(store, NOW + 10_000, "other@b");
      return answer();
    });
    await assert.rejects(call(client(server, store)), changed, said);
    assert.equal(server.seen.length, 1, said);
    const { session } = await client(server, store).profile();
    assert.equal(session?.user, "other@b", "their session goes on");
  }
  const store = new MemoryStore();
  await loggedIn(store, NOW + 10_000, "other@b");
  const server = new FakeServer();
  await assert.rejects(client(server, store).login.me("a@b"), changed);
  assert.deepEqual(server.seen, []);
});

test("proofs name method, target, token and the server's nonce, and are asked for once more with a fresh one", async () => {
  const server = new FakeServer();
  const store = new MemoryStore();
  await loggedIn(store, NOW + 10_000);
  server.first.push(() => problem(401, "use_dpop_nonce", { "dpop-nonce": "n-1" }));
  await client(server, store).login.me();
  const proofs = server.seen.map(({ headers }) => {
    const [header = "", claims = "", signature = ""] = (headers.dpop ?? "").split(".");
    const read = (part: string) =>
      JSON.parse(fromUtf8(fromBase64Url(part) ?? new Uint8Array(0)) ?? "") as Record<string, unknown>;
    return { header: read(header), claims: read(claims), signed: `${header}.${claims}`, signature };
  });
  const [first, second] = proofs;
  assert.ok(first && second && proofs.length === 2);
  assert.equal(first.claims.nonce, undefined);
  assert.equal(second.claims.nonce, "n-1");
  assert.notEqual(first.claims.jti, second.claims.jti);
  const { htm, htu, iat, ath } = second.claims;
  // SHA-256 of "access 1" in base64url.
  const hash = await crypto.subtle.digest("SHA-256", utf8("access 1"));
  assert.deepEqual(
    { htm, htu, iat, ath: fromBase64Url(String(ath)) },
    { htm: "GET", htu: "http://localhost:1/v1/me", iat: NOW, ath: new Uint8Array(hash) },
  );
  assert.equal(server.seen[0]?.headers.authorization, "DPoP access 1");
  const jwk = second.header.jwk as JsonWebKey;
  const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
  const signature = fromBase64Url(second.signature) ?? new Uint8Array(0);
  assert.ok(await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, utf8(second.signed)));
});

test("problems become errors with the server's code, and hide no text", async () => {
  const server = new FakeServer();
  const told = client(server, new MemoryStore());
  const document = { code: "rate_limited", title: "a\u001b[2Jb\u202ec", retryable: true, retry_after_seconds: 7 };
  server.first.push(() => Response.json(document, { status: 429 }));
  await assert.rejects(told.login.resendCode("a@b"), (error: ApiError) => {
    assert.equal(error.message, "a[2Jbc [rate_limited]");
    assert.deepEqual([error.code, error.isRetryable, error.problem?.retryAfterSeconds], ["rate_limited", true, 7]);
    return true;
  });
  for (const body of ['{"code":"Rate Limited"}', '{"title":"x"}', "<html>", ""]) {
    server.first.push(() => new Response(body, { status: 503 }));
    await assert.rejects(
      told.login.resendCode("a@b"),
      (error: ApiError) => error.code === "status" && error.isRetryable,
    );
  }
  server.first.push(() => {
    throw new TypeError("fetch failed");
  });
  await assert.rejects(
    told.login.resendCode("a@b"),
    (error: ApiError) => error.code === "transport" && error.leavesOutcomeOpen,
  );
  assert.ok(ApiError);
});

test("an address that the server would fold into another one is refused before anything is sent, and how to write it is said", async () => {
  const server = new FakeServer();
  const { login } = client(server, new MemoryStore());
  const calls: ((email: string) => Promise<unknown>)[] = [
    (email) => login.signUp(email, "p"),
    (email) => login.verifyEmail(email, "1"),
    (email) => login.resendCode(email),
    (email) => login.logIn(email, "p"),
    (email) => login.requestReset(email),
    (email) => login.reset(email, "1", "p"),
  ];
  for (const email of [
    "ada@b\u00fccher.example",
    "ada@exam\u00adple.org",
    "\u200bada@example.org",
    "a da@example.org",
    "ada@ex%61mple.org",
  ]) {
    for (const call of calls) {
      await assert.rejects(
        call(email),
        (error: ApiError) => error.code === "email_not_ascii" && error.message.includes("xn--"),
        email,
      );
    }
  }
  assert.equal(server.seen.length, 0);
  await login.resendCode(" Ada%b@xn--bcher-kva.example\n");
  assert.equal(server.seen[0]?.body.email, "Ada%b@xn--bcher-kva.example");
});

test("secrets travel over TLS or not beyond this machine, and segments cannot leave their place", () => {
  for (const good of [
    "https://wallet.example.org",
    "https://example.org/w/",
    "http://127.0.0.1:80",
    "http://localhost:1",
    "http://[::1]:1",
  ]) {
    new ServerUrl(good);
  }
  for (const bad of [
    "http://example.org",
    "http://192.168.0.7",
    "http://localhost.example.org",
    "ftp://x",
    "https://u:p@x",
    "https://x/?a",
    "x",
    "file:///etc",
  ]) {
    assert.throws(() => new ServerUrl(bad), bad);
  }
  const server = new ServerUrl("https://example.org/w/");
  assert.equal(
    server.join(["v1", "sessions", "../../x?y#z"]).href,
    "https://example.org/w/v1/sessions/..%2F..%2Fx%3Fy%23z",
  );
  assert.throws(() => server.join(["v1", "..", "x"]), RangeError);
});
