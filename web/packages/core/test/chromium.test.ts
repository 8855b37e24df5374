/** Both ends in Chromium, on origins that are sites of their own: windows, frames and ports as browsers have them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { chromiumOptions, withoutChromium } from "@pinseal/testing";
import { buildSync } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";

const PATIENCE_MILLISECONDS = 10_000;
const SIGNATURE = `0x${"ab".repeat(65)}`;
const HELLO = { pinseal: "hello", version: 1, load: "ab".repeat(16) };
const ROOT = new URL("../../", import.meta.url).pathname;
const PAGES = `${ROOT}test/pages/`;

function page(name: string): string {
  const { outputFiles } = buildSync({ entryPoints: [`${PAGES}${name}.ts`], bundle: true, format: "esm", write: false });
  return `<!doctype html><title>${name}</title><body><script type="module">${outputFiles[0]?.text}</script>`;
}

/** A page with the first example of the README, as it stands there but for the wallet's address. */
function example(): string {
  const [, code = ""] = /```ts\n(.*?)```/s.exec(readFileSync(`${ROOT}README.md`, "utf8")) ?? [];
  const contents = `${code.replace("https://wallet.example/", `http://wallet.localhost:${port}/`)} globalThis.told = status;`;
  const stdin = { contents, resolveDir: ROOT };
  const { outputFiles } = buildSync({ stdin, bundle: true, format: "esm", write: false });
  return `<!doctype html><title>example</title><body><script type="module">${outputFiles[0]?.text}</script>`;
}

let server: Server;
let browser: Browser;
let port: number;
let app: Page;

/** Opens the app's page; its answers land in `asked`. */
async function open(query: Record<string, string> = {}, host = "shop.localhost"): Promise<Page> {
  const context = await browser.newContext();
  app = await context.newPage();
  app.setDefaultTimeout(PATIENCE_MILLISECONDS);
  const wallet = `http://wallet.localhost:${port}/`;
  await app.goto(`http://${host}:${port}/?${new URLSearchParams({ wallet, ...query })}`);
  return app;
}

const ask = (method: string): Promise<unknown> => app.evaluate(`ask(${JSON.stringify(method)})`);
const press = (): Promise<void> => app.getByRole("button", { name: "Ask" }).click();
const outcome = async (index = 0): Promise<unknown> => {
  await app.waitForFunction(`asked[${index}] !== "waits"`);
  return app.evaluate(`asked[${index}]`);
};
const walletIn = (place: Page) => place.frameLocator("iframe[title=Wallet]");
async function popupOf(press: () => Promise<void>): Promise<Page> {
  const [popup] = await Promise.all([app.waitForEvent("popup"), press()]);
  popup.setDefaultTimeout(PATIENCE_MILLISECONDS);
  return popup;
}

test("in Chromium", { skip: withoutChromium, timeout: 60_000 }, async (t) => {
  before(async () => {
    const pages = { app: page("app"), wallet: page("wallet") };
    server = createServer(({ url = "/" }, response: ServerResponse) => {
      const { pathname, searchParams } = new URL(url, "http://any");
      response.setHeader("content-type", "text/html");
      if (searchParams.has("coop")) response.setHeader("cross-origin-opener-policy", searchParams.get("coop") ?? "");
      if (searchParams.has("example")) return response.end(example());
      return response.end(pathname === "/frame" || pathname === "/popup" ? pages.wallet : pages.app);
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    port = (server.address() as AddressInfo).port;
    browser = await chromium.launch(chromiumOptions);
  });
  after(async () => {
    await browser?.close();
    server?.close();
  });
  t.afterEach(() => app?.context().close());

  await t.test("a frame answers unseen, shows itself to a person, and hides when they have decided", async () => {
    await open();
    assert.deepEqual(await ask("status"), { status: "login" });
    const frame = app.locator("iframe[title=Wallet]");
    assert.equal(await frame.isVisible(), false);
    await press();
    await frame.waitFor({ state: "visible" });
    await walletIn(app).getByRole("button", { name: "Approve" }).click();
    assert.equal(await outcome(), SIGNATURE);
    await frame.waitFor({ state: "hidden" });
    assert.equal(await app.locator("iframe").count(), 1);
  });

  await t.test("the example of the README runs as it stands", async () => {
    await open({ example: "1" });
    await app.waitForFunction(`globalThis.told === "login"`);
  });

  await t.test("a person who closes the frame's page is told apart, and the next request is shown alone", async () => {
    await open();
    await press();
    await walletIn(app).getByRole("button", { name: "Close" }).click();
    assert.equal(await outcome(), "closed_by_user");
    await press();
    await walletIn(app).getByRole("button", { name: "Approve" }).click();
    assert.equal(await outcome(1), SIGNATURE);
  });

  await t.test("a frame that a script removes, and one that reloads, lose what they were asked", async () => {
    await open();
    await press();
    await app.locator("iframe").waitFor({ state: "visible" });
    await app.evaluate(`document.querySelector("iframe").remove()`);
    assert.equal(await outcome(), "connection_lost");
    await press();
    await app.locator("iframe").waitFor({ state: "visible" });
    await app.evaluate(`document.querySelector("iframe").src += "&again"`);
    assert.equal(await outcome(1), "connection_lost");
    assert.deepEqual(await ask("status"), { status: "login" });
    assert.equal(await app.locator("iframe").count(), 1);
  });

  await t.test("an app that is framed and served from elsewhere is refused", async () => {
    await open({}, "shop.localhost.evil.localhost");
    assert.equal(await ask("status"), "origin_not_allowed");
    assert.equal(await app.locator("iframe").count(), 0);
  });

  await t.test("another frame of the app's page can neither speak as the wallet nor connect to it", async () => {
    await open();
    await app.evaluate(`(async () => {
      globalThis.heard = 0;
      const evil = document.createElement("iframe");
      evil.src = "http://evil.localhost:${port}/popup?app=mute";
      document.body.prepend(evil);
      await new Promise((loaded) => { evil.onload = loaded; });
      addEventListener("message", ({ source }) => { if (source === evil.contentWindow) heard += 1; });
    })()`);
    const evil = app.frames().find((frame) => frame.url().includes("evil"));
    assert.ok(evil);
    const waits = ask("login");
    await walletIn(app).getByRole("button", { name: "Approve" }).waitFor({ state: "attached" });
    const load = await app.evaluate("load");
    await evil.evaluate(`(async () => {
      parent.postMessage(${JSON.stringify(HELLO)}, "*");
      parent.postMessage({ type: "reply", id: 1, result: { status: "complete", userId: "x" } }, "*");
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => parent.postMessage("connected", "*");
      parent.frames[1].postMessage({ pinseal: "connect", version: 1, load: ${JSON.stringify(load)}, appId: "shop" }, "*", [port2]);
    })()`);
    assert.deepEqual(await ask("status"), { status: "login" });
    await app.waitForFunction("heard === 2");
    await app.evaluate("bridge.finalize()");
    assert.equal(await waits, "finalized");
    assert.equal(await app.evaluate("heard"), 2);
  });

  await t.test("a window opens at a click, answers, and tells that its user closed it", async () => {
    await open({ popup: "1", coop: "same-origin-allow-popups" });
    assert.equal(await ask("status"), "not_open");
    const first = await popupOf(press);
    await first.getByRole("button", { name: "Approve" }).click();
    assert.equal(await outcome(), SIGNATURE);
    assert.deepEqual(await ask("status"), { status: "login" });
    await press();
    await first.close();
    assert.equal(await outcome(1), "closed_by_user");
    const second = await popupOf(press);
    await second.getByRole("button", { name: "Close" }).click();
    assert.equal(await outcome(2), "closed_by_user");
  });

  await t.test("a window that is closed once it has handed over something leaves the outcome unknown", async () => {
    await open({ popup: "1", coop: "same-origin-allow-popups" });
    const popup = await popupOf(press);
    await popup.getByRole("button", { name: "Send" }).click();
    await popup.close();
    assert.equal(await outcome(), "connection_lost");
  });

  await t.test("a frame that the browser or somebody else has filled is told soon", async () => {
    await open({ app: "mute" });
    assert.equal(await ask("status"), "frame_refused");
    assert.equal(await app.locator("iframe").count(), 0);
  });

  await t.test("a window that is closed before it speaks was closed by its user", async () => {
    await open({ popup: "1", app: "mute" });
    const popup = await popupOf(press);
    await popup.close();
    assert.equal(await outcome(), "closed_by_user");
  });

  await t.test("a page that cannot hear its windows is told which header to change", async () => {
    await open({ popup: "1", coop: "same-origin" });
    await press();
    assert.equal(await outcome(), "opener_severed");
  });

  await t.test("a window that the browser blocks is told at once", async () => {
    await open({ popup: "1", now: "1" });
    await app.waitForFunction("globalThis.asked");
    assert.equal(await outcome(), "popup_blocked");
  });

  await t.test("a window hears that its app is gone", async () => {
    await open({ popup: "1" });
    const popup = await popupOf(press);
    await popup.getByRole("button", { name: "Approve" }).click();
    assert.equal(await outcome(), SIGNATURE);
    const closed = popup.waitForEvent("close");
    await app.reload();
    await closed;
  });
});
