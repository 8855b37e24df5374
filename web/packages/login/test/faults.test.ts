/**
 * Each test is named after a fault that integrators of comparable products met. Those of messages, origins and windows have theirs in
 * `@pinseal/core`, and those of passwords and tokens at the server in `@pinseal/client`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BridgeError } from "@pinseal/core";
import { WalletError, type WalletOptions } from "@pinseal/core/wallet";
import { type Answers, code, never, page, settle, stories } from "@pinseal/headless";
import { PinsealSDK } from "@pinseal/sdk";
import { LoginError, PinsealLogin } from "../src/index.js";

const EMAIL = "ada@example.org";
const SESSION = { status: "complete", userId: "u", email: EMAIL, walletId: "w" };
const USER = {
  status: "success",
  userInfo: { userId: "u", email: EMAIL },
  walletId: "w",
  userStatus: { loginStatus: "complete" },
};

const USUAL: Answers = {
  status: () => ({ status: "before_login" }),
  login: () => SESSION,
  signUp: () => SESSION,
  session: () => SESSION,
  logout: () => "done",
};
const refuses = (code: string) => () => {
  throw new WalletError(code, code);
};

const story = stories(USUAL, (options) => {
  const login = new PinsealLogin(options);
  /** Every event, in order. */
  const told: [string, unknown][] = [];
  for (const event of ["statusChanged", "loggedIn", "loggedOut"] as const) {
    login.on(event, (data: unknown) => told.push([event, data]));
  }
  return { parts: { login, told }, finalize: () => login.finalize() };
});

/** Everything a person is asked for. */
const ACTS: readonly ((login: PinsealLogin) => Promise<unknown>)[] = [
  (login) => login.loginWithEmailAndPassword(EMAIL),
  (login) => login.signUpWithEmailAndPassword(),
];

story("login and sign-up ask for their own form, with what is known, and give the user", async ({ login, asked }) => {
  assert.deepEqual(await login.loginWithEmailAndPassword(EMAIL), USER);
  assert.deepEqual(await login.signUpWithEmailAndPassword(EMAIL), USER);
  assert.deepEqual(await login.loginWithEmailAndPassword(), USER);
  assert.deepEqual(asked, [
    ["login", { email: EMAIL }],
    ["signUp", { email: EMAIL }],
    ["login", {}],
  ]);
});

story("a password never leaves the app's code, and the refusal does not repeat it", async ({ login, asked }) => {
  for (const act of ["loginWithEmailAndPassword", "signUpWithEmailAndPassword"] as const) {
    await assert.rejects(login[act](EMAIL, "correct horse 1" as never), (error: LoginError) => {
      return error instanceof LoginError && error.code === "password_refused" && !error.message.includes("horse");
    });
  }
  assert.deepEqual(asked, []);
});

for (const why of ["closed_by_user", "connection_lost", "finalized"] as const) {
  story(
    `no promise stays open: ${why}`,
    async ({ login, stage }) => {
      for (const act of why === "finalized" ? ACTS.slice(0, 1) : ACTS) {
        const waits = assert.rejects(act(login), (error) => error instanceof BridgeError && error.code === why);
        await settle();
        if (why === "closed_by_user") stage.end?.closedByUser();
        if (why === "connection_lost") stage.leave(why);
        if (why === "finalized") login.finalize();
        await waits;
      }
    },
    { login: never, signUp: never },
  );
}

story("two quick calls open one frame", async ({ login, stage }) => {
  await Promise.all([login.getStatus(), login.loginWithEmailAndPassword(), login.getCurrentUser()]);
  assert.equal(stage.opens, 1);
});

story("a stale request is not shown at the next open", async ({ login, stage, asked }) => {
  await login.getStatus();
  stage.end?.closedByUser();
  await assert.rejects(login.loginWithEmailAndPassword(), code("closed_by_user"));
  await settle();
  // It reached the wallet's page under the old count, and was not put before anybody.
  assert.deepEqual(
    asked.map(([method]) => method),
    ["status"],
  );
});

story("events tell of each change once, and who ended the session", async ({ login, stage, told }) => {
  assert.equal(await login.getStatus(), "before_login");
  await login.loginWithEmailAndPassword();
  stage.end?.tell("session", { status: "login" });
  await login.logout();
  stage.end?.tell("session", { status: "before_login" });
  await settle();
  stage.end?.tell("session", { status: "login" });
  stage.end?.tell("session", { status: "login_before_register" });
  await settle();
  assert.deepEqual(told, [
    ["statusChanged", "before_login"],
    ["statusChanged", "login"],
    ["loggedIn", undefined],
    ["statusChanged", "before_login"],
    ["loggedOut", { by: "app" }],
    ["statusChanged", "login"],
    ["loggedIn", undefined],
    ["statusChanged", "login_before_register"],
    ["loggedOut", { by: "wallet" }],
  ]);
});

story(
  "a refresh that fires: it asks the wallet each time, and a session that is over is an error and an event",
  async ({ login, asked, told }) => {
    assert.deepEqual(await login.refresh(), USER);
    assert.deepEqual(await login.refresh(), USER);
    await assert.rejects(login.refresh(), code("login_required"));
    assert.equal(asked.length, 3);
    await settle();
    assert.deepEqual(told.at(-1), ["loggedOut", { by: "wallet" }]);
    assert.equal(await login.getCurrentUser(), undefined);
  },
  {
    session: (() => {
      let left = 2;
      return () => {
        left -= 1;
        if (left < 0) throw new WalletError("login_required", "nobody is logged in");
        return SESSION;
      };
    })(),
  },
);

story(
  "somebody who has not let this app in is nobody to it",
  async ({ login }) => {
    assert.equal(await login.getCurrentUser(), undefined);
    await assert.rejects(login.refresh(), code("consent_required"));
    // What the app may not see it may not end.
    await assert.rejects(login.logout(), code("consent_required"));
  },
  { session: refuses("consent_required"), logout: refuses("consent_required") },
);

story(
  "logout where nobody is logged in is done, and any other failure of it is told",
  async ({ login, told }) => {
    await login.logout();
    await assert.rejects(login.logout(), code("internal_error"));
    await settle();
    assert.deepEqual(told, [["statusChanged", "before_login"]]);
  },
  {
    logout: (() => {
      let asked = 0;
      return () => {
        asked += 1;
        if (asked === 1) throw new WalletError("login_required", "nobody is logged in");
        return { status: 500 };
      };
    })(),
  },
);

story(
  "an HTTP 500 is not read as success, nor as nobody, in any call",
  async ({ login, told }) => {
    for (const act of [...ACTS, (l: PinsealLogin) => l.getCurrentUser(), (l: PinsealLogin) => l.refresh()]) {
      await assert.rejects(act(login), code("internal_error"));
    }
    assert.deepEqual(told, []);
  },
  Object.fromEntries(Object.keys(USUAL).map((name) => [name, () => ({ status: 500, error: "Internal Server Error" })])),
);

story(
  "a session that carries more than the table says is refused, tokens above all",
  async ({ login }) => {
    for (const act of [...ACTS, (l: PinsealLogin) => l.getCurrentUser()]) {
      await assert.rejects(act(login), code("internal_error"));
    }
  },
  Object.fromEntries(
    ["login", "signUp", "session"].map((name) => [
      name,
      () => ({ ...SESSION, token: { accessToken: "a", refreshToken: "r" } }),
    ]),
  ),
);

story("nothing is logged and nothing is stored in the app's page", async ({ login, stage }) => {
  const touched: string[] = [];
  const before = { ...console };
  for (const name of Object.keys(before)) Object.assign(console, { [name]: () => touched.push(name) });
  const stores = ["localStorage", "sessionStorage", "indexedDB"];
  for (const name of stores) {
    Object.defineProperty(globalThis, name, { configurable: true, get: () => touched.push(name) });
  }
  try {
    const told = [await login.loginWithEmailAndPassword(EMAIL), await login.getCurrentUser(), await login.refresh()];
    await assert.rejects(login.loginWithEmailAndPassword(7 as never), code("bad_request"));
    stage.end?.closedByUser();
    await login.logout();
    assert.doesNotMatch(JSON.stringify(told), /token|refresh/i);
  } finally {
    Object.assign(console, before);
    for (const name of stores) delete (globalThis as Record<string, unknown>)[name];
  }
  assert.deepEqual(touched, []);
});

test("a bridge that is shared stays, and opens one frame for widget and login", { timeout: 10_000 }, async () => {
  const stage = page((async (method: string) => USUAL[method]?.({} as never)) as unknown as WalletOptions["answer"]);
  const sdk = new PinsealSDK(stage.options);
  await sdk.init();
  const login = new PinsealLogin({ bridge: sdk.bridge });
  let heard = 0;
  login.on("statusChanged", () => {
    heard += 1;
  });
  assert.deepEqual(await login.loginWithEmailAndPassword(), await sdk.getLoginSession());
  login.finalize();
  stage.end?.tell("session", { status: "before_login" });
  await settle();
  assert.equal(heard, 1);
  assert.equal(await sdk.getStatus(), "before_login");
  assert.equal(stage.opens, 1);
  sdk.finalize();
  stage.stop();
});

story("a window of its own opens with a click alone", async ({ login, stage }) => {
  stage.needsClick = true;
  assert.equal(await login.getStatus(), "unknown");
  await assert.rejects(login.getCurrentUser(), code("not_open"));
  assert.equal(stage.opens, 0);
  const opened = login.signUpWithEmailAndPassword();
  assert.equal(stage.opens, 1); // In the click itself, not after it.
  await opened;
  assert.deepEqual(await login.getCurrentUser(), USER);
});
