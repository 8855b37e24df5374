/** What an app asks, before anybody sees it: how the page was opened, whose turn it is, and which fields are kept. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { WalletError } from "@pinseal/core/wallet";
import { entryOf, parseApp } from "../src/entry.js";
import { nextAccount } from "../src/flow/accounts.js";
import { Desk } from "../src/flow/desk.js";
import { signsInElsewhere } from "../src/flow/sign-in.js";
import { type Wanted, wantedOf } from "../src/flow/transaction.js";

const NETWORK = "eip155:31337";
const ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

test("the page is opened for an app by its two addresses, and for its owner by every other", () => {
  const at = (pathname: string, search: string) => entryOf({ pathname, search });
  assert.deepEqual(at("/frame", "?app=app_0a"), { kind: "frame", appId: "app_0a" });
  assert.deepEqual(at("/popup", "?app=app_0a"), { kind: "popup", appId: "app_0a" });
  for (const [path, query] of [
    ["/", "?app=app_0a"],
    ["/frame", ""],
    ["/frame", "?app=a&app=b"],
    ["/frame", "?app=a%2e"],
    ["/frames", "?app=a"],
  ] as const) {
    assert.deepEqual(at(path, query), { kind: "own" }, path + query);
  }
});

test("a button for another account is there for as long as it opens one", () => {
  const accounts = (count: number) => Array.from({ length: count }, (_, index) => ({ index }));
  assert.equal(nextAccount([]), 0);
  assert.equal(nextAccount([{ index: 0 }, { index: 4 }]), 5);
  assert.equal(nextAccount(accounts(15)), 15);
  assert.equal(nextAccount(accounts(16)), undefined);
});

test("an app is what the server says of the one that was asked for", () => {
  const told = { app_id: "a", name: "Shop", origins: ["https://shop.example"] };
  const app = { id: "a", name: "Shop", origins: ["https://shop.example"], look: {} };
  assert.deepEqual(parseApp(told, "a"), app);
  const look = { accent: { light: "#0a7d4f", dark: "#6dd3a8" }, logo: "/logo.png?app=a" };
  assert.deepEqual(parseApp({ ...told, ...look }, "a"), { ...app, look });
  for (const wrong of [
    undefined,
    null,
    [],
    { ...told, app_id: "b" },
    { ...told, name: 1 },
    { ...told, origins: [1] },
    { ...told, logo: "/logo.png?app=b" },
    { ...told, logo: "https://evil.example/logo.png" },
    { ...told, logo: 1 },
    { ...told, accent: "#0a7d4f" },
    { ...told, accent: null },
    { ...told, accent: { light: "#0a7d4f" } },
    { ...told, accent: { light: "#0a7d4f", dark: "#6dd3a8; --ink: red" } },
    { ...told, accent: { light: "red", dark: "#6dd3a8" } },
  ]) {
    assert.equal(parseApp(wrong, "a"), undefined);
  }
});

test("one question at a time, in order, and one that is taken back never comes up", async () => {
  const desk = new Desk();
  const shown: string[] = [];
  const answers = new Map<string, (answer: string) => void>();
  const ask = (name: string, control = new AbortController()) => {
    const asked = () => {
      shown.push(name);
      return new Promise<string>((resolve) => answers.set(name, resolve));
    };
    return { control, told: desk.run(control.signal, asked, () => shown.push(`${name} gone`)) };
  };
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const [first, second, third, fourth] = ["first", "second", "third", "fourth"].map((name) => ask(name));
  assert.ok(first && second && third && fourth);
  second.control.abort(new Error("taken back"));
  await settled();
  assert.deepEqual(shown, ["first"]);
  answers.get("first")?.("yes");
  assert.equal(await first.told, "yes");
  await assert.rejects(second.told, /taken back/);
  await settled();
  assert.deepEqual(shown, ["first", "third"]);
  // Taken back while it is on the screen: it leaves before the next one comes.
  third.control.abort(new Error("closed"));
  await assert.rejects(third.told, /closed/);
  await settled();
  assert.deepEqual(shown, ["first", "third", "third gone", "fourth"]);
  assert.equal(desk.isBusy, true);
  answers.get("fourth")?.("no");
  assert.equal(await fourth.told, "no");
  assert.equal(desk.isBusy, false);
});

test("every field that an app names is kept, and what does not fit together is refused", () => {
  const of = (more: Partial<Wanted>) => wantedOf({ from: ADDRESS, to: ADDRESS, ...more }, NETWORK, 3);
  const key = `0x${"11".repeat(32)}`;
  assert.deepEqual(
    of({
      value: "0xde0b6b3a7640000",
      data: "0x1234",
      nonce: "0x7",
      gas: "0x5208",
      maxFeePerGas: "0x20000000000001",
      maxPriorityFeePerGas: "0x1",
      type: "0x2",
      chainId: "0x7a69",
      accessList: [{ address: ADDRESS, storageKeys: [key] }],
    }),
    {
      network: NETWORK,
      account: 3,
      to: ADDRESS,
      value: 10n ** 18n,
      data: Uint8Array.of(0x12, 0x34),
      nonce: 7,
      gasLimit: 21_000,
      gasLimitMax: 30_000_000,
      feeMax: 10n ** 18n,
      prices: { maxFeePerGas: 2n ** 53n + 1n, maxPriorityFeePerGas: 1n },
      accessList: [
        {
          address: Uint8Array.from(Buffer.from(ADDRESS.slice(2), "hex")),
          storageKeys: [new Uint8Array(32).fill(0x11)],
        },
      ],
    },
  );
  assert.deepEqual(of({ gasPrice: "0x2" }).prices, { gasPrice: 2n });
  for (const [wrong, code] of [
    [{ chainId: "0x1" }, "chain_mismatch"],
    [{ type: "0x4" }, "unsupported_transaction"],
    [{ type: "0x3" }, "unsupported_transaction"],
    [{ type: "0x0", maxFeePerGas: "0x1", maxPriorityFeePerGas: "0x1" }, "bad_request"],
    [{ type: "0x2", gasPrice: "0x1" }, "bad_request"],
    [{ gasPrice: "0x1", maxFeePerGas: "0x1", maxPriorityFeePerGas: "0x1" }, "bad_request"],
    [{ maxFeePerGas: "0x1" }, "bad_request"],
    [{ nonce: "0x20000000000001" }, "bad_request"],
    [{ gas: `0x${"f".repeat(64)}` }, "bad_request"],
  ] as const) {
    assert.throws(
      () => of(wrong),
      (error) => error instanceof WalletError && error.code === code,
      JSON.stringify(wrong),
    );
  }
});

test("a message that signs in at another site than the one that asks is told from all others", () => {
  const at = (first: string, origin = "https://shop.example") =>
    signsInElsewhere(new TextEncoder().encode(`${first}\n0x11\n\nURI: https://shop.example\nVersion: 1`), origin);
  const asks = "wants you to sign in with your Ethereum account:";
  for (const own of [`shop.example ${asks}`, `https://shop.example ${asks}`, "Log in to bank.example", ""]) {
    assert.equal(at(own), undefined, own);
  }
  assert.equal(at(`shop.localhost:3000 ${asks}`, "http://shop.localhost:3000"), undefined);
  for (const [other, told] of [
    [`bank.example ${asks}`, "bank.example"],
    [`  BANK.example\t${asks.toUpperCase()}`, "BANK.example"],
    [`shop.example.evil.example ${asks}`, "shop.example.evil.example"],
    [`shop.example@bank.example ${asks}`, "shop.example@bank.example"],
    [`http://shop.example ${asks}`, "http://shop.example"],
    [`shop.example:444 ${asks}`, "shop.example:444"],
    [`bank.example wants you to sign in with your Solana account:`, "bank.example"],
    [`b\u0430nk.example\u202e ${asks}`, "b?nk.example?"],
    [`shop.example\u200b ${asks}`, "shop.example?"],
    [`${"a".repeat(100)} ${asks}`, `${"a".repeat(80)}...`],
    [asks, "?"],
  ] as const) {
    assert.equal(at(other), told, other);
  }
  // Soon, whatever is sent.
  assert.equal(at(`a${" ".repeat(250_000)}`), undefined);
  assert.equal(signsInElsewhere(Uint8Array.of(0xff, 0xfe), "https://shop.example"), undefined);
});
