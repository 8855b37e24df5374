import assert from "node:assert/strict";
import { test } from "node:test";
import type { WalletOptions } from "@pinseal/core/wallet";
import { page } from "@pinseal/headless";
import { exampleBody, runWithoutPage, weigh } from "@pinseal/testing";
import { PinsealLogin } from "../src/index.js";

const ROOT = new URL("../../", import.meta.url);
/** This package with core's app end, compressed. */
const BYTES_MAX = 7_000;
/** What an app with everything loads: core, login, widget and provider together, compressed. */
const ALL_BYTES_MAX = 30_000;

test("login stays within its size, and has nothing of Node's, no console and no storage in it", () => {
  const contents = `import * as login from "@pinseal/login"; globalThis.x = login;`;
  weigh(ROOT, contents, { bytesMin: 2_000, bytesMax: BYTES_MAX });
});

test("core, login, sdk and provider together stay within their size", () => {
  const names = ["core", "login", "sdk", "provider"];
  const imports = names.map((name) => `import * as ${name} from "@pinseal/${name}";`).join("");
  weigh(ROOT, `${imports} globalThis.x = [${names}];`, { bytesMin: 8_000, bytesMax: ALL_BYTES_MAX });
});

test("importing and making it on a server touches nothing, and a login there is a typed error", () => {
  runWithoutPage(
    ROOT,
    ["document", "window", "navigator", "MessageChannel", "localStorage"],
    `
    const { PinsealLogin } = await import("@pinseal/login");
    const login = new PinsealLogin({ appId: "a", wallet: "https://wallet.example" });
    for (const act of ["loginWithEmailAndPassword", "getCurrentUser", "getStatus", "logout"]) {
      const code = await login[act]().catch((error) => error.code);
      if (code !== "no_page") throw new Error(act + " " + code);
    }
    login.finalize();
  `,
  );
});

test("the example of the README runs as it stands", async () => {
  const email = "ada@example.org";
  let isIn = false;
  const stage = page((async (method: string, params: { email?: string }) => {
    if (method === "session" && !isIn) return { status: 500 };
    isIn = true;
    return { status: "complete", userId: "u", email: params.email };
  }) as unknown as WalletOptions["answer"]);
  const body = exampleBody(ROOT).replace(/(new PinsealLogin)\(.*?\);.*/, "$1(given);");
  assert.match(body, /given/);
  const run = new Function("given", "PinsealLogin", "show", `return (async () => { ${body}; return login; })()`);
  const said: string[] = [];
  const show = (text: string) => said.push(text);
  // A wallet that fails is not one where nobody is logged in.
  await assert.rejects(run(stage.options, PinsealLogin, show), { code: "internal_error" });
  isIn = true;
  stage.stop();
  const again = page((async (method: string, params: { email?: string }) => {
    const { WalletError } = await import("@pinseal/core/wallet");
    if (method === "session") throw new WalletError("login_required", "nobody is logged in");
    return { status: "complete", userId: "u", email: params.email };
  }) as unknown as WalletOptions["answer"]);
  const login = (await run(again.options, PinsealLogin, show)) as PinsealLogin;
  again.end?.tell("session", { status: "before_login" });
  for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
  assert.deepEqual(said, [`hello, ${email}`, "logged out by the wallet"]);
  assert.deepEqual(again.asked, ["session", "login"]);
  login.finalize();
  again.stop();
});
