/** An app's pages for tests: one server under as many names below `localhost` as a test likes, with the app's end of the bridge. */

import { readFileSync } from "node:fs";
import { type System, within } from "@pinseal/testing";
import type { Page } from "playwright-core";
import { type Browser, Person } from "./browser.js";
import { documentOf, PACKAGES, Site } from "./site.js";

/** Longer than anything takes that a test asks for; below the limit of a step. */
const ANSWER_MILLISECONDS = 60_000;

const PAGE = documentOf(`<h1>Shop</h1><button>Go</button><script type="module" src="/shop.js"></script>`);
/** Every answer or refusal as data; a request that needs a click waits for one. */
const SCRIPT = `import { Bridge, frame, popup } from "/core/index.js";
const query = new URLSearchParams(location.search);
const transport = query.get("way") === "popup" ? popup : frame;
const bridge = new Bridge({ appId: query.get("app"), wallet: query.get("wallet"), transport });
const data = (promise) => promise.then((result) => ({ result }), ({ name, code, message }) => ({ name, code, message }));
// What the wallet's page says to anybody; who knows it may still not connect.
addEventListener("message", ({ data }) => data?.pinseal === "hello" && (globalThis.load = data.load));
globalThis.heard = [];
for (const name of ["session", "accounts"]) bridge.on(name, (told) => heard.push({ name, told }));
globalThis.ask = (method, params) => data(bridge.request(method, params));
globalThis.askByClick = (method, params) => {
  globalThis.asked = new Promise((resolve) => {
    document.querySelector("button").onclick = () => resolve(ask(method, params));
  });
};`;

export interface Told {
  readonly result?: unknown;
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
}

export class Shop {
  readonly #site: Site;

  private constructor(site: Site) {
    this.#site = site;
  }

  static async open(): Promise<Shop> {
    const site = await Site.open(({ pathname }) => {
      if (pathname === "/") return { type: "text/html", body: PAGE };
      const file = /^\/core\/([a-z/-]+\.js)$/.exec(pathname)?.[1];
      const script = file === undefined ? SCRIPT : readFileSync(new URL(`core/dist/${file}`, PACKAGES), "utf8");
      return { type: "text/javascript", body: script };
    });
    return new Shop(site);
  }

  origin(host: string): string {
    return this.#site.origin(host);
  }

  close(): Promise<void> {
    return this.#site.close();
  }

  /** A tab on the app's page under this name. */
  async visit(browser: Browser, host: string, query: Record<string, string>): Promise<AppPage> {
    const page = await browser.context.newPage();
    page.setDefaultTimeout(15_000);
    await page.goto(`${this.origin(host)}/?${new URLSearchParams(query)}`);
    await page.waitForFunction("globalThis.ask !== undefined");
    return new AppPage(page);
  }
}

export class AppPage {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** What a request comes to. */
  ask(method: string, params: unknown = {}): Promise<Told> {
    return this.#told(method, `ask(${JSON.stringify(method)}, ${JSON.stringify(params)})`);
  }

  /** The same, in the handler of a click. */
  async click(method: string, params: unknown = {}): Promise<{ told: Promise<Told> }> {
    await this.page.evaluate(`askByClick(${JSON.stringify(method)}, ${JSON.stringify(params)})`);
    await this.page.bringToFront();
    await this.page.getByRole("button", { name: "Go" }).click();
    return { told: this.#told(method, "asked") };
  }

  /** An app waits as long as a person takes; a test does not. */
  #told(method: string, script: string): Promise<Told> {
    return within(this.page.evaluate(script) as Promise<Told>, ANSWER_MILLISECONDS, async () => {
      const frames = this.page
        .context()
        .pages()
        .flatMap((page) => page.frames());
      const said = await Promise.all(frames.map((frame) => frame.evaluate("document.body.textContent").catch(String)));
      return `${method} is not answered; the pages say: ${said.join(" | ")}`;
    });
  }

  /** Somebody at the wallet's frame, once it is seen. */
  framed(up: System): Promise<Person> {
    return Person.framed(this.page, up);
  }

  async result(method: string, params: unknown = {}): Promise<unknown> {
    const { result, code, message } = await this.ask(method, params);
    if (code !== undefined) throw new Error(`${method}: ${code} ${message}`);
    return result;
  }
}
