/** The examples as they are started, and somebody at their pages. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { programs, type System } from "@pinseal/testing";
import type { Page } from "playwright-core";
import { axe, type Browser, Person } from "./browser.js";

const EXAMPLES = new URL("../../../../examples/", import.meta.url);
/** A test system is slow when others build beside it. */
const PATIENCE_MILLISECONDS = 15_000;

/** One example, served until it is stopped. */
export class Example {
  readonly origin: string;
  readonly #process: ChildProcess;

  private constructor(origin: string, child: ChildProcess) {
    this.origin = origin;
    this.#process = child;
  }

  static async serve(up: System, folder: string, ...options: readonly string[]): Promise<Example> {
    const serve = new URL(`${folder}/serve.mjs`, EXAMPLES).pathname;
    const data = join(up.directory, "pinseal-data");
    const program = join(resolve(programs ?? ""), "pinseal");
    const args = ["--port", "0", "--wallet", up.page, "--data", data, "--pinseal", program, ...options];
    const child = spawn(process.execPath, [serve, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    assert.ok(child.stdout);
    const ended = once(child, "exit").then(() => assert.fail("the example ended"));
    const [line] = (await Promise.race([once(createInterface(child.stdout), "line"), ended])) as [string];
    ended.catch(() => undefined);
    return new Example(line, child);
  }

  /** A tab on it. */
  async visit(browser: Browser, up: System): Promise<Visitor> {
    const page = await browser.context.newPage();
    page.setDefaultTimeout(PATIENCE_MILLISECONDS);
    await page.goto(this.origin);
    return new Visitor(page, up);
  }

  stop(): void {
    this.#process.kill("SIGTERM");
  }
}

/** Somebody at an example's page. */
export class Visitor {
  readonly page: Page;
  readonly #up: System;

  constructor(page: Page, up: System) {
    this.page = page;
    this.#up = up;
  }

  press(name: string): Promise<void> {
    return this.page.getByRole("button", { name, exact: true }).click();
  }

  /** What the page says, once it says this. */
  async told(text: RegExp): Promise<string> {
    const status = this.page.getByRole("status").filter({ hasText: text });
    await status.waitFor();
    return (await status.textContent()) ?? "";
  }

  /** The same person at the wallet, in its frame over the page. */
  framed(): Promise<Person> {
    return Person.framed(this.page, this.#up);
  }

  /** The same person at the wallet, in the window that this button opens. */
  async opened(button: string): Promise<Person> {
    const opening = this.page.waitForEvent("popup");
    await this.press(button);
    const window = await opening;
    window.setDefaultTimeout(PATIENCE_MILLISECONDS);
    return new Person(window, this.#up);
  }

  /** The page fits a narrow screen, and axe-core finds nothing in light and dark. */
  async isForEverybody(): Promise<void> {
    for (const colorScheme of ["light", "dark"] as const) {
      await this.page.emulateMedia({ colorScheme });
      assert.deepEqual(await axe(this.page), []);
    }
    await this.page.setViewportSize({ width: 320, height: 800 });
    assert.equal(await this.page.evaluate("document.documentElement.scrollWidth"), 320);
    await this.page.setViewportSize({ width: 1280, height: 900 });
  }

  /** The account that the page shows. */
  async account(): Promise<`0x${string}`> {
    return (await this.page.locator("dd code").textContent()) as `0x${string}`;
  }
}
