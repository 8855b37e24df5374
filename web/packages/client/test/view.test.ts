import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { utf8 } from "../src/bytes.js";
import { decode } from "../src/cbor/codec.js";
import { IntentError } from "../src/evm/error.js";
import { keccak256 } from "../src/evm/keccak.js";
import { personalMessage } from "../src/intents.js";
import { intent } from "../src/protocol/intent.js";
import { deadline, decimal, isUnlimited } from "../src/view/amount.js";
import { KNOWN } from "../src/view/calldata.js";
import { nativeOf, viewOf, viewWith } from "../src/view/index.js";
import { escapeLines, escapeText, hasHidden } from "../src/view/text.js";
import type { Token, View } from "../src/view/view.js";
import { hex, vectors } from "./vectors.js";

interface Case {
  name: string;
  intent_cbor: string;
  native: { symbol: string; decimals: number };
  tokens: (Omit<Token, "chain"> & { chain: number })[];
  view: Omit<View, "words">;
}

const FOLDER = new URL("../../../../../vectors/decode/", import.meta.url);

test("every intent is shown as its vector says", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  let count = 0;
  for (const file of files) {
    for (const vector of vectors<{ cases: Case[] }>(`decode/${file}`).cases) {
      const tokens = vector.tokens.map((token) => ({ ...token, chain: BigInt(token.chain) }));
      const { words: _, ...shown } = viewWith(decode(intent, hex(vector.intent_cbor)), {
        native: vector.native,
        tokens,
      });
      assert.deepEqual(shown, vector.view, `${file}: ${vector.name}`);
      count += 1;
    }
  }
  assert.ok(count >= 78, `${count} cases`);
});

test("what cannot be parsed is not shown", () => {
  const { refused } = vectors<{ refused: { unsigned: string }[] }>("evm/transactions.json");
  for (const { unsigned } of refused) {
    const asked = { kind: "evmTransaction", account: 0, chain: 1n, unsigned: hex(unsigned) } as const;
    assert.throws(() => viewOf(asked), IntentError);
  }
  const { refused_cbor } = vectors<{ refused_cbor: { cbor: string }[] }>("evm/typed-data.json");
  for (const { cbor } of refused_cbor) {
    assert.throws(() => viewOf({ kind: "evmTypedData", account: 0, chain: 1n, typedData: hex(cbor) }), IntentError);
  }
  assert.throws(() => viewOf({ ...personalMessage(0, "x"), account: 1000 }), IntentError);
});

test("selectors are those of the signatures", () => {
  for (const [selector, [signature]] of Object.entries(KNOWN)) {
    assert.deepEqual(keccak256(utf8(signature)).slice(0, 4), hex(selector), signature);
  }
});

test("a network that is not known has no currency of the host's choosing", () => {
  assert.deepEqual(nativeOf(1n), { symbol: "ETH", decimals: 18 });
  assert.deepEqual(nativeOf(424_242n), { symbol: "native coin", decimals: 18 });
});

test("amounts are exact, deadlines are dates, and unlimited is beyond every supply", () => {
  const most = (1n << 256n) - 1n;
  assert.equal(decimal(1_500_000_000_000_000_000n, 18), "1.5");
  assert.equal(decimal(1n, 18), "0.000000000000000001");
  assert.equal(decimal(0n, 18), "0");
  assert.equal(decimal(100n, 2), "1");
  assert.equal(decimal(1200n, 0), "1200");
  const whole = "1.15792089237316195423570985008687907853269984665640564039457584007913129639935";
  assert.equal(decimal(most, 77), whole);
  for (const bits of [96n, 128n, 160n, 256n]) assert.ok(isUnlimited((1n << bits) - 1n), `${bits}`);
  for (const value of [1n << 120n, (1n << 160n) - 2n, 1n << 255n]) assert.ok(isUnlimited(value));
  for (const value of [0n, (1n << 64n) - 1n, (1n << 96n) - 2n, (1n << 97n) - 1n, (1n << 120n) - 2n])
    assert.ok(!isUnlimited(value));
  assert.equal(deadline(0n), "1970-01-01T00:00:00Z");
  assert.equal(deadline(951_782_400n), "2000-02-29T00:00:00Z");
  assert.equal(deadline(253_402_300_799n), "9999-12-31T23:59:59Z");
  assert.equal(deadline(253_402_300_800n), "no deadline");
});

test("hidden characters are shown, and an escape cannot be forged", () => {
  assert.equal(escapeText("a\0b\u200bc\u{e0001}d"), "a\\u{0}b\\u{200b}c\\u{e0001}d");
  assert.equal(escapeLines("two\nlines\r"), "two\nlines\\r");
  assert.notEqual(escapeText("\\u{202e}"), escapeText("\u202e"));
  const ordinary = "Grüße, 안녕, مرحبا, שלום, 🎉";
  assert.equal(escapeText(ordinary), ordinary);
  assert.equal(hasHidden(ordinary), false);
});
