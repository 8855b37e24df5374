/** Chromium, and a person at it. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromiumOptions, type System } from "@pinseal/testing";
import { type BrowserContext, chromium, type Frame, type Locator, type Page, type Route } from "playwright-core";

/** A test system is slow when others build beside it. */
const PATIENCE_MILLISECONDS = 15_000;

export type Json = Record<string, unknown>;

/** One browser with a profile of its own, kept while the object lives. */
export class Browser {
  readonly profile: string;
  context: BrowserContext;
  /** What pages said on their consoles and what they violated: a sound page is silent. */
  readonly complaints: string[] = [];
  /** Every host that anything was asked of. */
  readonly hosts = new Set<string>();

  private constructor(profile: string, context: BrowserContext) {
    this.profile = profile;
    this.context = context;
    this.#watch();
  }

  static async open(profile = mkdtempSync(join(tmpdir(), "pinseal-chromium-"))): Promise<Browser> {
    return new Browser(profile, await launch(profile));
  }

  /** Ends the browser's process and starts another one on the same profile. */
  async restart(): Promise<void> {
    await this.context.close();
    this.context = await launch(this.profile);
    this.#watch();
  }

  async close(): Promise<void> {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }

  /** A tab on the wallet page. */
  async visit(up: System): Promise<Person> {
    const page = await this.context.newPage();
    page.setDefaultTimeout(PATIENCE_MILLISECONDS);
    await page.goto(up.page);
    return new Person(page, up);
  }

  /** A host that changes what it answers at this path of the API, or below one that ends with a slash. A problem document brings its own status. */
  async lie(
    up: System,
    path: string,
    change: (answer: Json, query: URLSearchParams) => Json | Promise<Json>,
  ): Promise<() => Promise<void>> {
    const url = `${up.ready.server}${path}`;
    const matches = (asked: URL) => {
      const [place = ""] = decodeURIComponent(asked.href).split("?");
      return path.endsWith("/") ? place.startsWith(url) : place === url;
    };
    const pending = new Set<Promise<void>>();
    const answer = async (route: Route) => {
      if (route.request().method() === "OPTIONS") return route.continue();
      const response = await route.fetch();
      const { searchParams } = new URL(route.request().url());
      const json = await change((await response.json()) as Json, searchParams);
      // Whoever asked may be gone meanwhile; a page that is there and hears nothing fails its test by itself.
      const status = "code" in json ? Number(json.status) : response.status();
      await route.fulfill({ response, status, json }).catch(() => undefined);
    };
    const handler = (route: Route) => {
      const answered = answer(route).finally(() => pending.delete(answered));
      pending.add(answered);
      return answered;
    };
    await this.context.route(matches, handler);
    return async () => {
      await Promise.allSettled(pending);
      await this.context.unroute(matches, handler);
    };
  }

  /** A host that takes its time with this path, until what comes back is called. */
  async late(up: System, path: string): Promise<() => Promise<void>> {
    let answer: () => void = () => undefined;
    const waited = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const honest = await this.lie(up, path, async (said) => {
      await waited;
      return said;
    });
    return async () => {
      answer();
      await honest();
    };
  }

  #watch(): void {
    this.context.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(message.text());
    });
    this.context.on("weberror", (error) => this.complaints.push(String(error.error())));
    this.context.on("request", (request) => this.hosts.add(new URL(request.url()).host));
  }
}

function launch(profile: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(profile, {
    ...chromiumOptions,
    locale: "en-US",
    viewport: { width: 1280, height: 900 },
    permissions: ["clipboard-write"],
  });
}

/** Somebody at one tab, or at a frame in it. What they do they find by its name, as a screen reader does. */
export class Person {
  readonly page: Page;
  readonly up: System;
  /** The tab's own document, or the frame's. */
  readonly root: Page | Frame;

  constructor(page: Page, up: System, root: Page | Frame = page) {
    this.page = page;
    this.up = up;
    this.root = root;
  }

  /** The same at the wallet's page in a frame of an app's, once it is seen there. */
  static async framed(page: Page, up: System, frame = "iframe:visible"): Promise<Person> {
    const found = page.locator(frame);
    await found.waitFor();
    const content = await (await found.elementHandle())?.contentFrame();
    assert.ok(content);
    return new Person(page, up, content);
  }

  button(name: string | RegExp): Locator {
    return this.root.getByRole("button", { name, exact: typeof name === "string" });
  }

  async press(name: string | RegExp): Promise<void> {
    await this.front();
    await this.button(name).click();
  }

  /** Chooses this tab, as whoever clicks in it has: in one behind another a frame is drawn each second, and a click waits for two. */
  async front(): Promise<void> {
    if (this.page.context().pages().length > 1) await this.page.bringToFront();
  }

  fill(label: string, text: string): Promise<void> {
    return this.root.getByLabel(label, { exact: true }).fill(text);
  }

  /** Waits until this is said somewhere on the page. */
  sees(text: string | RegExp): Promise<void> {
    return this.root.getByText(text).first().waitFor();
  }

  /**
   * Goes on to the review of a payment. Whoever is asked to look at earlier ones has looked, as often as they are asked: what the service says of one
   * may change between question and answer, as when a block is followed just then, and they are asked about it once more.
   */
  async review(): Promise<void> {
    const [approve, looked] = [this.button("Approve with PIN"), this.button(/^I have looked/)];
    for (let looks = 0; looks < 30; looks += 1) {
      await approve.or(looked).first().waitFor();
      if (await approve.isVisible()) break;
      await this.front();
      // It is busy while the next one is prepared, and gone with that.
      await looked.click({ timeout: 2_000 }).catch(() => undefined);
    }
    await this.heading("Review");
  }

  /** Waits until what was sent is in a block. What the page says instead is the failure's text. */
  async mined(): Promise<void> {
    try {
      await this.root.locator("[data-status=mined], [data-status=final]").first().waitFor();
    } catch (cause) {
      const said = await this.root.locator("body").textContent();
      throw new Error(`nothing is mined; the page says: ${said}`, { cause });
    }
  }

  /** Waits until the activity tells that what was sent last, and is worth this, is in a block. */
  async told(amount: string): Promise<void> {
    await this.tab("Activity");
    const newest = this.root.locator("li[data-hash]:first-child", { hasText: amount });
    await newest.and(this.root.locator("[data-status=mined], [data-status=final]")).waitFor();
  }

  heading(name: string): Promise<void> {
    return this.root.getByRole("heading", { name, exact: true }).waitFor();
  }

  /** Types a PIN on the keyboard and confirms it, once the pad asks for this one. */
  async pin(prompt: string, digits: string): Promise<void> {
    await this.root.getByRole("dialog").getByText(prompt, { exact: true }).waitFor();
    await this.root.locator(".key:not(:disabled)").first().waitFor();
    await this.page.keyboard.type(digits);
    await this.root.locator(".key.confirm:not(:disabled)").waitFor();
    await this.page.keyboard.press("Enter");
  }

  /** Until no pad is open. */
  done(): Promise<void> {
    return this.root.getByRole("dialog").waitFor({ state: "detached" });
  }

  async signUp(email: string, password: string): Promise<void> {
    await this.press("Create an account");
    await this.fill("E-mail address", email);
    await this.signUpAs(email, password);
  }

  /** From the form on in which the address stands already. */
  async signUpAs(email: string, password: string): Promise<void> {
    await this.fill("Password", password);
    await this.press("Continue");
    await this.fill("Code from the e-mail", await this.up.mailedCode(email));
    await this.press("Confirm");
  }

  async logIn(email: string, password: string): Promise<void> {
    await this.fill("E-mail address", email);
    await this.fill("Password", password);
    await this.press("Log in");
  }

  /** Chooses the wallet's first PIN. */
  async choosePin(pin: string): Promise<void> {
    await this.press("Choose a PIN");
    await this.pin("Choose a new PIN", pin);
    await this.pin("Enter the new PIN once more", pin);
  }

  async create(pin: string): Promise<void> {
    await this.choosePin(pin);
    await this.button("Send").waitFor();
  }

  /** The account's address, as the page shows it. */
  async address(): Promise<string> {
    await this.press("Receive");
    const address = await this.root.locator("[data-address]").first().getAttribute("data-address");
    await this.press("Back");
    assert.ok(address);
    return address;
  }

  /** Goes to one of the wallet's tabs. */
  async tab(name: string): Promise<void> {
    await this.front();
    await this.root.getByRole("navigation").getByRole("button", { name, exact: true }).click();
  }
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core finds wrong with the page as it is now; `rules` where not all are asked for. */
export async function axe(page: Page, rules?: readonly string[]): Promise<string[]> {
  await page.evaluate(`${axeSource}; undefined`);
  const found = (await page.evaluate(
    `axe.run(document, { resultTypes: ["violations"]${rules ? `, runOnly: ${JSON.stringify(rules)}` : ""} }).then(({ violations }) => violations.map(({ id, nodes }) => ` +
      `id + ": " + nodes.map(({ html, failureSummary }) => html.slice(0, 160) + " " + failureSummary).join(" | ")))`,
  )) as string[];
  return found;
}
