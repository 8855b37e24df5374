import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { utf8 } from "../src/bytes.js";
import { decode } from "../src/cbor/codec.js";
import { IntentError } from "../src/evm/error.js";
import { keccak256 } from "../src/evm/keccak.js";
import { personalMessage } from "../src/intents.js";
import { intent } from "../src/protocol/intent.js";
import { KNOWN } from "../src/view/calldata.js";
import { nativeOf, viewOf, viewWith } from "../src/view/index.js";
import type { Token, View } from "../src/view/view.js";
import { hex, vectors } from "./vectors.js";

interface Case {
  name: string;
  intent_cbor: string;
  native: { symbol: string; decimals: number };
  tokens: (Omit<Token, "chain"> & { chain: number })[];
  view: View;
}

const FOLDER = new URL("../../../../../vectors/decode/", import.meta.url);

test("every intent is shown as its vector says", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  let count = 0;
  for (const file of files) {
    for (const vector of vectors<{ cases: Case[] }>(`decode/${file}`).cases) {
      const tokens = vector.tokens.map((token) => ({ ...token, chain: BigInt(token.chain) }));
      const shown = viewWith(decode(intent, hex(vector.intent_cbor)), { native: vector.native, tokens });
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
