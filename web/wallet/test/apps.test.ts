/** Apps and the wallet page: in a frame on their own site, in a window from another; what they ask, and what strangers try. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { System, steps, within, withoutChromium, withoutPrograms } from "@pinseal/testing";
import type { Route } from "playwright-core";
import { recoverMessageAddress, recoverTypedDataAddress, toHex } from "viem";
import { Browser, Person } from "./browser.js";
import { permit, unlimitedApproval } from "./evm.js";
import { type AppPage, Shop, type Told } from "./shop.js";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse 1";
const PIN = "482915";
const NETWORK = "eip155:31337";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const HOST = "shop.localhost";
const FOREIGN = "other.localhost";

let up: System;
let browser: Browser;
let shop: Shop;
let app: string;
let page: AppPage;
let address: `0x${string}`;

/** Somebody at the wallet's frame in the app's page, once it is there. */
const framed = (page: AppPage): Promise<Person> => page.framed(up);

const hidden = ({ page }: AppPage) => page.locator("iframe").waitFor({ state: "hidden" });

/** The request that this asks is approved with the PIN. */
async function approved(asked: Promise<Told>, ada: Person): Promise<unknown> {
  await ada.press("Approve with PIN");
  await ada.pin("Enter your PIN", PIN);
  const { result, code, message } = await asked;
  assert.equal(code, undefined, message);
  return result;
}

function visit(host: string, way: "frame" | "popup"): Promise<AppPage> {
  return shop.visit(browser, host, { app, wallet: up.page, way });
}

const message = (text: string) => ({ network: NETWORK, address, message: toHex(text) });
const transaction = (more: object = {}) => ({
  network: NETWORK,
  transaction: { from: address, to: TO, value: "0x2386f26fc10000", ...more },
});

test("an app and the wallet page", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  before(async () => {
    [up, browser, shop] = await Promise.all([
      System.start({ node: true, walletUrl: `http://wallet.${HOST}:0` }),
      Browser.open(),
      Shop.open(),
    ]);
    const origins = [HOST, FOREIGN].flatMap((host) => ["--origin", shop.origin(host)]);
    app = up.createApp("Shop", ...origins);
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop(), shop?.close()]);
  });

  await step("an app learns nothing and shows nothing before its user has agreed", async () => {
    page = await visit(HOST, "frame");
    assert.deepEqual(await page.result("status"), { status: "before_login" });
    for (const method of ["session", "accounts", "logout"]) {
      assert.equal((await page.ask(method)).code, "login_required", method);
    }
    assert.equal(await page.page.locator("iframe").isVisible(), false);
  });

  await step("whoever closes the wallet on the way in ends the login, wherever they are", async () => {
    const closed = async (reach: (ada: Person) => Promise<void>) => {
      const asked = page.ask("login");
      const ada = await framed(page);
      await reach(ada);
      await ada.press("Close the wallet");
      assert.equal((await asked).code, "closed_by_user");
      await hidden(page);
    };
    await closed((ada) => ada.heading("Log in"));
    await closed((ada) => ada.press("Forgot your password?"));
    await closed((ada) => ada.press("Back"));
    await closed(async (ada) => {
      await ada.press("Create an account");
      await ada.fill("E-mail address", "closer@example.org");
      await ada.fill("Password", PASSWORD);
      await ada.press("Continue");
      await ada.heading("Check your e-mail");
    });
    assert.deepEqual(await page.result("status"), { status: "before_login" });
    await page.page.reload();
    await page.page.waitForFunction("globalThis.ask !== undefined");
  });

  await step("sign-up, PIN and consent in the frame, closed at every step and gone on with", async () => {
    const asked = page.ask("login", { email: EMAIL });
    const ada = await framed(page);
    await ada.sees(`For Shop`);
    await ada.press("Create an account");
    assert.equal(await ada.root.getByLabel("E-mail address").inputValue(), EMAIL);
    await ada.fill("Password", PASSWORD);
    await ada.press("Continue");
    await ada.fill("Code from the e-mail", await up.mailedCode(EMAIL));
    await ada.press("Confirm");
    // Whoever closes the wallet from here on finds it at the next login where they left it.
    const closed = async (login: Promise<Told>) => {
      await ada.press("Close the wallet");
      assert.equal((await login).code, "closed_by_user");
      await hidden(page);
      assert.deepEqual(await page.result("status"), { status: "login_before_register" });
      assert.equal((await page.ask("accounts")).code, "consent_required");
    };
    await ada.button("Choose a PIN").waitFor();
    await closed(asked);
    const second = page.ask("login");
    await framed(page);
    await ada.press("Choose a PIN");
    await ada.pin("Choose a new PIN", PIN);
    await ada.root.getByRole("dialog").getByText("Enter the new PIN once more", { exact: true }).waitFor();
    await ada.root.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await closed(second);
    const third = page.ask("login");
    await framed(page);
    await ada.choosePin(PIN);
    await ada.heading("Connect to Shop?");
    await closed(third);
    const fourth = page.ask("login");
    await framed(page);
    await ada.heading("Connect to Shop?");
    await ada.sees(shop.origin(HOST));
    // What somebody pressed first in a double click was not this button.
    await ada.root.locator("button[aria-disabled=false]", { hasText: "Connect" }).waitFor();
    await ada.button("Connect").dispatchEvent("click", { detail: 2 });
    await ada.press("Reject");
    assert.equal((await fourth).code, "declined");
    await hidden(page);

    const again = page.ask("login");
    await (await framed(page)).press("Connect");
    const session = (await again).result as Record<string, string>;
    assert.deepEqual([session.status, session.email], ["complete", EMAIL]);
    await hidden(page);
    assert.deepEqual(await page.result("status"), { status: "login" });
    // Where both stand nobody is asked.
    assert.deepEqual((await page.ask("login")).result, session);
    assert.equal(await page.page.locator("iframe").isVisible(), false);
  });

  await step("accounts and balances", async () => {
    const accounts = (await page.result("accounts", { networks: [NETWORK] })) as { address: `0x${string}` }[];
    assert.ok(accounts[0]);
    address = accounts[0].address;
    await up.node("anvil_setBalance", [address, `0x${(10n ** 18n).toString(16)}`]);
    assert.deepEqual(await page.result("balance", { accounts: [{ address, network: NETWORK }] }), [
      { network: NETWORK, address, symbol: "ETH", balance: "1", tokens: [] },
    ]);
    const strange = { address: TO, network: NETWORK };
    assert.equal((await page.ask("balance", { accounts: [strange] })).code, "account_unknown");
    assert.equal((await page.ask("accounts", { networks: ["eip155:999999"] })).code, "network_unknown");
  });

  await step("a message is read before it is signed, and the signature is the account's", async () => {
    const text = "Log in to Shop\nnonce 77";
    const asked = page.ask("evm.signMessage", message(text));
    const ada = await framed(page);
    await ada.heading("Review");
    await ada.sees("Log in to Shop");
    const signature = (await approved(asked, ada)) as `0x${string}`;
    assert.equal(await recoverMessageAddress({ message: text, signature }), address);
    await hidden(page);
  });

  await step("a message that signs in at another site is warned of, and one at the app's own is not", async () => {
    const rest = `wants you to sign in with your Ethereum account:\n${address}\n\nURI: https://bank.example`;
    const danger = "which is not the site that asks";
    const asked = page.ask("evm.signMessage", message(`bank.example ${rest}`));
    const ada = await framed(page);
    await ada.sees("This signs you in at bank.example,");
    await ada.press("Reject");
    assert.equal((await asked).code, "declined");
    const own = page.ask("evm.signMessage", message(`${new URL(shop.origin(HOST)).host} ${rest}`));
    await ada.sees("wants you to sign in");
    assert.equal(await ada.root.getByText(danger).count(), 0);
    await ada.press("Reject");
    assert.equal((await own).code, "declined");
    await hidden(page);
  });

  await step("typed data is decoded, and a permit and another chain are warned of", async () => {
    const data = permit(address, TO, 31337);
    const asked = page.ask("evm.signTypedData", { network: NETWORK, address, typedData: JSON.stringify(data) });
    const ada = await framed(page);
    await ada.sees("This signature may let somebody take your tokens without another step of yours.");
    const signature = (await approved(asked, ada)) as `0x${string}`;
    assert.equal(await recoverTypedDataAddress({ ...data, signature } as never), address);

    const other = page.ask("evm.signTypedData", {
      network: NETWORK,
      address,
      typedData: JSON.stringify(permit(address, TO, 1)),
    });
    await ada.sees("This is for another network than the one you chose.");
    await ada.press("Reject");
    assert.equal((await other).code, "declined");
    const broken = { network: NETWORK, address, typedData: "{}" };
    assert.match((await page.ask("evm.signTypedData", broken)).code ?? "", /typed_data|missing/);
  });

  await step("a transaction is mined with every field that the app named", async () => {
    const fields = { gas: "0x7530", maxFeePerGas: "0xb2d05e00", maxPriorityFeePerGas: "0x77359400", nonce: "0x0" };
    const asked = page.ask("evm.sendTransaction", transaction(fields));
    const ada = await framed(page);
    await ada.sees("Send 0.01 ETH");
    const hash = (await approved(asked, ada)) as string;
    await ada.mined();
    await ada.press("Done");
    await hidden(page);
    const mined = (await up.node("eth_getTransactionByHash", [hash])) as Record<string, string>;
    assert.deepEqual(
      [mined.from?.toLowerCase(), mined.to?.toLowerCase(), mined.value],
      [address.toLowerCase(), TO.toLowerCase(), "0x2386f26fc10000"],
    );
    for (const [name, value] of Object.entries(fields)) assert.equal(mined[name], value, name);
    const rpc = (method: string, params: unknown[]) => page.ask("evm.rpc", { network: NETWORK, method, params });
    const receipt = (await rpc("eth_getTransactionReceipt", [hash])).result as Record<string, string>;
    assert.equal(receipt.status, "0x1");
    for (const method of ["eth_sendRawTransaction", "eth_accounts", "anvil_setBalance", "personal_sign"]) {
      assert.equal((await rpc(method, [])).code, "unsupported_method", method);
    }
    const wrong = transaction({ chainId: "0x1" });
    assert.equal((await page.ask("evm.sendTransaction", wrong)).code, "chain_mismatch");
  });

  await step("an unlimited approval and an unknown call are warned of", async () => {
    const asked = page.ask(
      "evm.sendTransaction",
      transaction({ value: "0x0", data: unlimitedApproval(TO), gas: "0x186a0" }),
    );
    const ada = await framed(page);
    await ada.sees("This lets somebody else take all of this token, now and later.");
    await ada.press("Reject");
    assert.equal((await asked).code, "declined");
    const unknown = page.ask("evm.sendTransaction", transaction({ value: "0x0", data: "0x12345678", gas: "0x186a0" }));
    await ada.sees("What this does cannot be read.");
    await ada.press("Reject");
    assert.equal((await unknown).code, "declined");
  });

  await step(
    "whoever closes the wallet ends what was asked, at every step, and none of it comes up again",
    async () => {
      const closed = async (reach: (ada: Person) => Promise<void>, leave?: (ada: Person) => Promise<void>) => {
        const asked = page.ask("evm.signMessage", message("an old one"));
        const queued = page.ask("evm.signMessage", message("one behind it"));
        const ada = await framed(page);
        await reach(ada);
        await (leave ?? ((at: Person) => at.press("Close the wallet")))(ada);
        assert.deepEqual([(await asked).code, (await queued).code], ["closed_by_user", "closed_by_user"]);
        await hidden(page);
      };
      await closed((ada) => ada.heading("Review"));
      await closed(async (ada) => {
        await ada.press("Approve with PIN");
        await ada.root.getByText("Enter your PIN", { exact: true }).waitFor();
        await ada.root.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
      });
      // Closed before it could be shown: the host answers too late.
      let answer: () => void = () => undefined;
      const late = new Promise<void>((resolve) => {
        answer = resolve;
      });
      const honest = await browser.lie(up, "/v1/tx/prepare", async (said) => {
        await late;
        return said;
      });
      const prepared = browser.context.waitForEvent("response", (response) =>
        response.url().endsWith("/v1/tx/prepare"),
      );
      const early = page.ask("evm.sendTransaction", transaction());
      await (await framed(page)).press("Close the wallet");
      assert.equal((await early).code, "closed_by_user");
      answer();
      await prepared;
      await honest();
      assert.equal(await page.page.locator("iframe").isVisible(), false);

      const asked = page.ask("evm.signMessage", message("a new one"));
      const ada = await framed(page);
      await ada.sees("a new one");
      assert.equal(await ada.root.getByText("an old one").count(), 0);
      await approved(asked, ada);
      await hidden(page);
      assert.equal(await ada.root.getByText("one behind it").count(), 0);
    },
  );

  await step("an app's page that goes while the enclave signs takes no nonce with it", async () => {
    // Nobody is there any more when it would be answered.
    page.ask("evm.sendTransaction", transaction()).catch(() => undefined);
    const leaving = await framed(page);
    await leaving.press("Approve with PIN");
    await leaving.root.getByText("Enter your PIN", { exact: true }).waitFor();
    const url = `${up.ready.server}/v1/wallet/sealed`;
    let isSigning = () => {};
    const signs = new Promise<void>((resolve) => {
      isSigning = resolve;
    });
    const hold = (route: Route) => (route.request().method() === "OPTIONS" ? route.continue() : isSigning());
    await browser.context.route(url, hold);
    await leaving.pin("Enter your PIN", PIN);
    await within(signs, 15_000, () => "nothing is signed");
    await page.page.reload();
    await page.page.waitForFunction("globalThis.ask !== undefined");
    await browser.context.unroute(url, hold);
    const asked = page.ask("evm.sendTransaction", transaction());
    const ada = await framed(page);
    await ada.heading("Review");
    await approved(asked, ada);
    await ada.mined();
    await ada.press("Done");
    await hidden(page);
  });

  await step("a widget: the wallet opens for its owner, and closes", async () => {
    assert.equal(await page.result("open"), "done");
    const ada = await framed(page);
    await ada.root.locator("[data-balance]").waitFor();
    await ada.press("Close the wallet");
    await hidden(page);
    const sent = page.ask("send", { account: { address, network: NETWORK }, to: TO });
    await (await framed(page)).fill("Amount", "0.02");
    await ada.press("Review");
    const { txId } = (await approved(sent, ada)) as { txId: string };
    assert.match(txId, /^0x[0-9a-f]{64}$/);
    await ada.press("Done");
    await hidden(page);
  });

  await step("session and consent outlive a reload", async () => {
    await page.page.reload();
    await page.page.waitForFunction("globalThis.ask !== undefined");
    assert.deepEqual(await page.result("status"), { status: "login" });
    assert.equal(((await page.result("accounts", { networks: [NETWORK] })) as Told[]).length, 1);
  });

  await step("an app of another site asks in a window of its own", async () => {
    const other = await visit(FOREIGN, "popup");
    /** The wallet's window: the one that is open, or another where nothing was asked of that for two seconds. */
    const shown = (): Person => {
      const newest = browser.context.pages().at(-1);
      assert.ok(newest !== undefined && newest !== other.page);
      return new Person(newest, up);
    };
    const opening = browser.context.waitForEvent("page");
    const { told } = await other.click("login");
    let window = new Person(await opening, up);
    // The same wallet, and yet another origin: it asks by itself.
    await window.heading("Connect to Shop?");
    await window.sees(shop.origin(FOREIGN));
    await window.press("Connect");
    assert.equal(((await told).result as Record<string, string>).email, EMAIL);
    assert.equal(((await other.result("accounts", { networks: [NETWORK] })) as Told[]).length, 1);

    const signing = await other.click("evm.signMessage", message("from afar"));
    window = shown();
    await window.sees("from afar");
    const signature = (await approved(signing.told, window)) as `0x${string}`;
    assert.equal(await recoverMessageAddress({ message: "from afar", signature }), address);
    const sending = await other.click("evm.sendTransaction", transaction());
    window = shown();
    await window.sees("Send 0.01 ETH");
    const hash = await approved(sending.told, window);
    await window.mined();
    assert.ok(await up.node("eth_getTransactionReceipt", [hash]));
    await window.press("Done");

    const last = await other.click("evm.signMessage", message("never"));
    window = shown();
    await window.heading("Review");
    await window.page.close();
    assert.equal((await last.told).code, "closed_by_user");
    await other.page.close();
  });

  await step("strangers: no frame, no words, no answer", async () => {
    const evil = await visit("evil.localhost", "frame");
    const refused = evil.page.waitForEvent("console", (said) => said.text().includes("frame-ancestors"));
    const asked = evil.ask("status");
    await refused;
    assert.equal((await asked).code, "frame_refused");
    assert.equal(
      await evil.page.evaluate("globalThis.load"),
      undefined,
      "the page did not run in the stranger's frame",
    );

    // A window it may open; it is told nothing, and shows nothing.
    const opening = browser.context.waitForEvent("page");
    const answer = evil.page.evaluate(`new Promise((resolve) => {
      addEventListener("message", ({ source, data: { load } }) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => resolve(data);
        source.postMessage({ pinseal: "connect", version: 1, load, appId: "${app}" }, "*", [port2]);
      });
      open("${up.page}/popup?app=${app}", "_blank", "popup");
    })`);
    const window = await opening;
    assert.deepEqual(await answer, { type: "refused", code: "origin_not_allowed" });
    assert.equal(await window.locator("#app").textContent(), "");
    await window.close();
    await evil.page.close();

    // Messages from another frame of the app's own page, and messages of no form from the app's page.
    await page.result("status");
    const heard = await page.page.evaluate(`(async () => {
      const wallet = document.querySelector("iframe").contentWindow;
      const thief = document.createElement("iframe");
      document.body.append(thief);
      const said = [];
      for (const from of [thief.contentWindow, window]) {
        for (const type of ["connect", "request"]) {
          const { port1, port2 } = new from.MessageChannel();
          port1.onmessage = ({ data }) => said.push(data);
          from.eval("(to, message, port) => to.postMessage(message, '*', [port])")(
            wallet, { pinseal: type, version: 1, load, appId: "${app}", type, id: 1, epoch: 0, method: "accounts", params: {} }, port2);
          const good = new from.MessageChannel();
          good.port1.onmessage = ({ data }) => said.push(data);
          from.eval("(to, message, port) => to.postMessage(message, '*', [port])")(
            wallet, { pinseal: "connect", version: 1, load, appId: "${app}" }, good.port2);
        }
      }
      await ask("status", {});
      thief.remove();
      return said;
    })()`);
    assert.deepEqual(heard, []);
    assert.deepEqual(await page.result("status"), { status: "login" });
  });

  await step("in the settings its owner takes the consent back, and the app hears of it", async () => {
    const own = await browser.visit(up);
    await own.button("Send").waitFor();
    await own.tab("Settings");
    const consents = own.page.locator(`[data-app=${app}]`);
    await consents.nth(1).waitFor();
    assert.equal(await consents.count(), 2);
    await consents
      .filter({ hasText: shop.origin(HOST) })
      .getByRole("button")
      .click();
    await page.page.waitForFunction("heard.some(({ name, told }) => name === 'accounts' && told.length === 0)");
    assert.deepEqual(await page.result("status"), { status: "login_before_register" });
    assert.equal((await page.ask("accounts")).code, "consent_required");
    assert.equal((await page.ask("evm.signMessage", message("still?"))).code, "consent_required");
    const asked = page.ask("login");
    await (await framed(page)).press("Connect");
    assert.equal((await asked).code, undefined);
    await own.page.close();
  });

  await step("what is prepared for somebody who logs out comes up for nobody who logs in after them", async () => {
    const preparing = browser.context.waitForEvent("request", (request) => request.url().endsWith("/v1/tx/prepare"));
    const release = await browser.late(up, "/v1/tx/prepare");
    const told = page.ask("evm.sendTransaction", transaction());
    await preparing;
    const own = await browser.visit(up);
    await own.tab("Settings");
    await own.press("Log out");
    assert.equal((await told).code, "login_required");
    await own.logIn(EMAIL, PASSWORD);
    await own.button("Send").waitFor();
    await release();
    assert.equal(await page.result("open"), "done");
    const ada = await framed(page);
    await ada.root.locator("[data-balance]").waitFor();
    assert.equal(await ada.root.getByText("Send 0.01 ETH").count(), 0);
    await ada.press("Close the wallet");
    await hidden(page);
    await own.page.close();
  });

  await step("logout ends the session for good, and the page was silent all the way", async () => {
    assert.equal(await page.result("logout"), "done");
    assert.deepEqual(await page.result("status"), { status: "before_login" });
    assert.equal((await page.ask("accounts")).code, "login_required");
    const asked = page.ask("login");
    const ada = await framed(page);
    await ada.heading("Log in");
    await ada.press("Close the wallet");
    assert.equal((await asked).code, "closed_by_user");
    const expected = /status of 4\d\d|frame-ancestors|ERR_BLOCKED_BY_CSP|Framing/;
    assert.deepEqual(
      browser.complaints.filter((text) => !expected.test(text)),
      [],
    );
  });
});
