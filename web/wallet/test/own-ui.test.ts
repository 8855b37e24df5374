/** An app with a UI of its own: login and the PIN pad in its page, over the wallet page itself. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import type { Page } from "playwright-core";
import { type Hex, recoverMessageAddress } from "viem";
import { axe, Browser, Person } from "./browser.js";
import { type Answer, bundle, documentOf, PACKAGES, Site } from "./site.js";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse 1";
const PIN = "482915";
const NEXT_PIN = "730264";
const HOST = "shop.localhost";
const README = readFileSync(new URL("pin/README.md", PACKAGES), "utf8");
const ACCESS_SECONDS = 900;
const REFRESH_SECONDS = 7 * 86_400;

/** What the app's page does, by name. What comes of it stands in the page, so that it can be waited for with a limit and without `eval`. */
const SCRIPT = `
import { PinsealLogin } from "@pinseal/login";
import { definePin } from "@pinseal/pin";

const query = new URLSearchParams(location.search);
definePin();
definePin();
const pad = document.querySelector("pinseal-pin");
pad.setAttribute("app-id", query.get("app"));
pad.setAttribute("wallet", query.get("wallet"));
const login = new PinsealLogin({ bridge: pad.bridge });
const heard = [];
function hear(what) {
  heard.push(what);
  note("heard " + what);
}
function note(value) {
  document.body.append(Object.assign(document.createElement("data"), { value }));
}
for (const event of ["open", "close"]) pad.addEventListener(event, () => hear(event));
login.on("loggedOut", ({ by }) => hear("logged out by " + by));
login.on("loggedIn", () => hear("logged in"));
// Whatever the app's page could see of somebody's typing.
addEventListener("keydown", ({ key }) => hear("key " + key), true);
addEventListener("message", ({ data }) => data?.pinseal !== "hello" && hear(data === "last" ? data : "message"));
const acts = {
  signUp: () => login.signUpWithEmailAndPassword("${EMAIL}"),
  user: () => login.getCurrentUser(),
  refresh: () => login.refresh(),
  status: () => login.getStatus(),
  logout: () => login.logout(),
  register: () => pad.register(),
  authenticate: (signal) => pad.authenticate({ signal }),
  change: () => pad.change(),
  korean: () => pad.bridge.request("language", { language: "ko-KR" }),
  approve: async () => {
    const [account] = await pad.bridge.request("accounts", { networks: ["eip155:31337"] });
    return { ...account, signature: await pad.approve("evm.signMessage", { ...account, message: "0x6869" }) };
  },
};
const asked = [];
let control = new AbortController();
function abort() {
  control.abort();
  control = new AbortController();
}
function ask(name) {
  const index = asked.push(undefined) - 1;
  acts[name](control.signal).then((result) => ({ result }), ({ code, message }) => ({ code, message })).then((told) => { asked[index] = told; note("told " + index); });
  return index;
}
Object.assign(globalThis, { abort, ask, asked, heard, pad });
note("ready");
`;

interface Told {
  readonly result?: unknown;
  readonly code?: string;
  readonly message?: string;
}

let up: System;
let browser: Browser;
let site: Site;
let app: string;
let page: Page;

const origin = (): string => site.origin(HOST);

/** The first example of the README, as it stands there but for the app and the wallet. */
function example(): { html: string; script: string } {
  const [, html = ""] = /```html\n(.*?)```/s.exec(README) ?? [];
  const [, script = ""] = /```ts\n(.*?)```/s.exec(README) ?? [];
  return {
    html: html.replace("my-app", app).replace("https://wallet.example/", `${up.page}/`),
    script: bundle(`${script} document.body.dataset.told = JSON.stringify({ ...account, signature });`),
  };
}

async function visit(path = "/"): Promise<void> {
  page = await browser.context.newPage();
  page.setDefaultTimeout(15_000);
  await page.goto(`${origin()}${path}?${new URLSearchParams({ app, wallet: up.page })}`);
  if (path === "/") await noted("ready");
}

const ask = (act: string): Promise<number> => page.evaluate(`ask("${act}")`) as Promise<number>;
const noted = (what: string): Promise<void> =>
  page.locator(`data[value="${what}"]`).first().waitFor({ state: "attached" });
async function told(index: number): Promise<Told> {
  await noted(`told ${index}`);
  return page.evaluate(`asked[${index}]`) as Promise<Told>;
}
async function result<T>(index: number): Promise<T> {
  const { result, code, message } = await told(index);
  assert.equal(code, undefined, message);
  return result as T;
}
const heard = (): Promise<string[]> => page.evaluate("heard.splice(0)") as Promise<string[]>;

/** Somebody at the wallet's page in the element. */
const framed = (): Promise<Person> => Person.framed(page, up, "pinseal-pin iframe");
/** Once the pad is there for this: its user leaves it by the keyboard. */
async function leave(ada: Person, why: "enter your PIN" | "choose a new PIN"): Promise<void> {
  await ada.root.getByRole("dialog").getByText(`Shop asks you to ${why}.`).waitFor();
  await ada.root.locator(".key:not(:disabled)").first().waitFor();
  await page.keyboard.press("Escape");
}
/** The host's clock, and this page's with it. */
async function later(seconds: number): Promise<void> {
  up.ahead(seconds);
  await page.clock.setSystemTime(Date.now() + seconds * 1000);
}
const hidden = (): Promise<void> => page.locator("pinseal-pin").waitFor({ state: "hidden" });

test("an app with a UI of its own", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    const script = bundle(SCRIPT);
    const document = (body: string) =>
      documentOf(`<main><h1>Shop</h1>${body}</main><script type="module" src="/app.js"></script>`);
    site = await Site.open(({ pathname }, { headers: { referer } }): Answer => {
      const isExample = pathname === "/example" || referer?.includes("/example");
      const policy = `default-src 'none'; script-src 'self'; img-src data:; frame-src ${up.page}; require-trusted-types-for 'script'; trusted-types`;
      const headers = { "content-security-policy": policy };
      if (pathname === "/app.js")
        return { type: "text/javascript", body: isExample ? example().script : script, headers };
      return { type: "text/html", body: document(isExample ? example().html : "<pinseal-pin></pinseal-pin>"), headers };
    });
    [up, browser] = await Promise.all([
      System.start({ node: true, walletUrl: `http://wallet.${HOST}:0` }),
      Browser.open(),
    ]);
    app = up.createApp("Shop", "--origin", origin());
    await visit();
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), site?.close()]);
  });

  await step("what is not asked takes no room, and nobody is told anything", async () => {
    assert.equal(await page.locator("pinseal-pin").isVisible(), false);
    assert.equal(await page.locator("pinseal-pin iframe").count(), 0);
    assert.equal((await told(await ask("user"))).result, undefined);
    assert.equal(await result(await ask("status")), "before_login");
    assert.equal((await told(await ask("authenticate"))).code, "login_required");
    assert.equal((await told(await ask("logout"))).code, undefined);
    assert.deepEqual(await heard(), []);
  });

  await step("sign-up, PIN and consent inside the element, from the form that was asked for", async () => {
    const asked = await ask("signUp");
    const ada = await framed();
    await ada.heading("Create an account");
    assert.equal(await ada.root.getByLabel("E-mail address").inputValue(), EMAIL);
    assert.deepEqual(await axe(page, ["frame-title", "frame-focusable-content"]), []);
    assert.equal(await page.locator("pinseal-pin iframe").getAttribute("title"), "PIN pad");
    const [around, frame] = await Promise.all(
      ["pinseal-pin", "pinseal-pin iframe"].map((name) => page.locator(name).boundingBox()),
    );
    assert.deepEqual(frame, around);
    await ada.signUpAs(EMAIL, PASSWORD);
    await ada.choosePin(PIN);
    await ada.press("Connect");
    const user = await result<{ userInfo: { email: string } }>(asked);
    assert.equal(user.userInfo.email, EMAIL);
    await hidden();
    assert.deepEqual(await result(await ask("user")), user);
    assert.deepEqual(await result(await ask("register")), user);
    assert.deepEqual(await heard(), ["open", "logged in", "close"]);
  });

  await step(
    "a PIN is proved: who asks is said, a wrong one is told in the wallet alone, and no key is heard",
    async () => {
      const asked = await ask("authenticate");
      const ada = await framed();
      await ada.root.getByRole("dialog").getByText("Shop asks you to enter your PIN.").waitFor();
      await ada.root.getByRole("dialog").getByText(origin()).waitFor();
      await ada.root
        .getByRole("dialog")
        .getByText(/Nothing is signed or sent/)
        .waitFor();
      assert.equal(await ada.root.getByRole("navigation").count(), 0);
      await ada.pin("Enter your PIN", "135790");
      await ada.sees("Wrong PIN. 4 tries are left on this device.");
      await ada.pin("Enter your PIN", PIN);
      assert.equal(await result(asked), undefined);
      await hidden();
      assert.deepEqual(await heard(), ["open", "close"]);
    },
  );

  await step("a PIN is changed, and only the new one is right from then on", async () => {
    const asked = await ask("change");
    const ada = await framed();
    await ada.sees("Shop asks you to choose a new PIN.");
    await ada.pin("Enter your PIN", PIN);
    await ada.pin("Choose a new PIN", NEXT_PIN);
    await ada.pin("Enter the new PIN once more", NEXT_PIN);
    assert.equal(await result(asked), undefined);
    const again = await ask("authenticate");
    await (await framed()).pin("Enter your PIN", PIN);
    await ada.sees(/Wrong PIN/);
    await ada.pin("Enter your PIN", NEXT_PIN);
    assert.equal(await result(again), undefined);
    await hidden();
  });

  await step("what is approved is shown decoded, and the signature is the account's", async () => {
    const asked = await ask("approve");
    const ada = await framed();
    await ada.heading("Review");
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", NEXT_PIN);
    const { address, signature } = await result<{ address: Hex; signature: Hex }>(asked);
    assert.equal(await recoverMessageAddress({ message: "hi", signature }), address);
    await hidden();
  });

  await step("a pad that its user cancels is declined, and a wallet that they close is closed", async () => {
    const declined = await ask("authenticate");
    const ada = await framed();
    await ada.root.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    assert.equal((await told(declined)).code, "declined");
    await hidden();
    const [closed, behind] = [await ask("authenticate"), await ask("change")];
    // The way out stands beside the dialog, which keeps everything else from being pressed: Escape leaves that first.
    await leave(await framed(), "enter your PIN");
    assert.equal((await told(closed)).code, "declined");
    await leave(ada, "choose a new PIN");
    assert.equal((await told(behind)).code, "declined");
    await hidden();
    const review = await ask("approve");
    await (await framed()).press("Close the wallet");
    assert.equal((await told(review)).code, "closed_by_user");
    await hidden();
  });

  await step("a stale request is not shown at the next open: taken back while the evidence is checked", async () => {
    let answer: () => void = () => undefined;
    const late = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const honest = await browser.lie(up, "/v1/evidence", async (said) => {
      await late;
      return said;
    });
    const asked = await ask("authenticate");
    const ada = await framed();
    await ada.sees("Checking the enclave's evidence");
    await page.evaluate("abort()");
    assert.equal((await told(asked)).code, "cancelled");
    await hidden();
    const next = await ask("change");
    await framed();
    answer();
    await ada.pin("Enter your PIN", NEXT_PIN);
    await ada.root.getByRole("dialog").getByText("Choose a new PIN", { exact: true }).waitFor();
    await leave(ada, "choose a new PIN");
    assert.equal((await told(next)).code, "declined");
    await honest();
  });

  await step("no attestation check in any client: forged evidence opens no pad, and the app hears why", async () => {
    const honest = await browser.lie(up, "/v1/evidence", (answer) => ({ ...answer, document: "80" }));
    const asked = await ask("change");
    const ada = await framed();
    await ada.sees(/Code: document_malformed/);
    assert.equal(await ada.root.locator(".key").count(), 0);
    await ada.press("Close");
    assert.equal((await told(asked)).code, "document_malformed");
    await honest();
    await hidden();
  });

  await step(
    "messages accepted from any origin: neither the page itself nor another frame answers for the wallet",
    async () => {
      const asked = await ask("change");
      const ada = await framed();
      await ada.root.locator(".key:not(:disabled)").first().waitFor();
      await heard();
      await page.evaluate(`(() => {
      const thief = document.createElement("iframe");
      document.body.append(thief);
      for (const from of [window, thief.contentWindow]) {
        const say = (message) => from.postMessage.call(window, message, "*");
        for (let id = 1; id < 64; id += 1) say({ type: "reply", id, result: "done" });
        say({ pinseal: "hello", version: 1, load: "${"ab".repeat(16)}" });
      }
      thief.remove();
      postMessage("last", "*");
    })()`);
      await noted("heard last");
      assert.equal(await page.evaluate(`asked[${asked}] === undefined`), true);
      await page.keyboard.press("Escape");
      assert.equal((await told(asked)).code, "declined");
      await heard();
    },
  );

  await step(
    "two quick calls share one frame; an element that is taken away loses both, and works where it is put",
    async () => {
      const asked = [await ask("authenticate"), await ask("change")];
      await framed();
      assert.equal(await page.locator("pinseal-pin iframe").count(), 1);
      await page.evaluate("pad.remove()");
      for (const index of asked) assert.equal((await told(index)).code, "connection_lost");
      await page.evaluate("document.querySelector('main').prepend(pad)");
      assert.equal(await page.locator("pinseal-pin").isVisible(), false);
      const again = await ask("change");
      await leave(await framed(), "choose a new PIN");
      assert.equal((await told(again)).code, "declined");
    },
  );

  await step("the example of the README runs as it stands", async () => {
    const first = page;
    await visit("/example");
    const ada = await framed();
    await ada.press("Approve with PIN");
    await ada.pin("Enter your PIN", NEXT_PIN);
    await page.locator("body[data-told]").waitFor();
    const given = await page.locator("body").getAttribute("data-told");
    const { address, signature } = JSON.parse(given ?? "") as { address: Hex; signature: Hex };
    assert.equal(await recoverMessageAddress({ message: "hi", signature }), address);
    await page.close();
    page = first;
  });

  await step("an app's wish for a language is heard, and its user's choice goes before it", async () => {
    assert.equal(await result(await ask("korean")), "done");
    const wished = await ask("change");
    const ada = await framed();
    await ada.root.getByRole("dialog").getByText("PIN을 입력하세요", { exact: true }).waitFor();
    assert.equal(await ada.root.locator("html").getAttribute("lang"), "ko");
    await ada.root.locator(".key:not(:disabled)").first().waitFor();
    await page.keyboard.press("Escape");
    assert.equal((await told(wished)).code, "declined");
    const own = await browser.visit(up);
    await own.tab("Settings");
    await own.page.getByLabel("Language").selectOption("en");
    await own.page.close();
    assert.equal(await result(await ask("korean")), "done");
    const chosen = await ask("change");
    await leave(await framed(), "choose a new PIN");
    assert.equal((await told(chosen)).code, "declined");
  });

  await step(
    "a refresh that fires: tokens that have run out are renewed, and a session that is over is told",
    async () => {
      const user = await result(await ask("user"));
      const renewed = browser.context.waitForEvent(
        "response",
        (answer) => /\/v1\/session\/refresh$/.test(answer.url()) && answer.status() === 200,
      );
      await later(ACCESS_SECONDS + 60);
      assert.deepEqual(await result(await ask("refresh")), user);
      await renewed;
      await heard();
      await later(ACCESS_SECONDS + 60 + REFRESH_SECONDS + 60);
      assert.equal((await told(await ask("refresh"))).code, "login_required");
      await noted("heard logged out by wallet");
      assert.equal(await result(await ask("status")), "before_login");
    },
  );

  await step("the page was silent all the way, under a policy without inline styles", async () => {
    assert.deepEqual(
      browser.complaints.filter((text) => !/status of 4\d\d/.test(text)),
      [],
    );
  });
});
