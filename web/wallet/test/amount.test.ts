import assert from "node:assert/strict";
import { test } from "node:test";
import { atMost, formatAmount, glance, grouped, parseAmount } from "../src/amount.js";

test("an amount is read exactly, or not at all", () => {
  const read = (text: string) => parseAmount(text, 18);
  assert.equal(read("0.25"), 250_000_000_000_000_000n);
  assert.equal(read(" 1 "), 10n ** 18n);
  assert.equal(read("0.000000000000000001"), 1n);
  assert.equal(parseAmount("5", 0), 5n);
  for (const wrong of [
    "",
    ".5",
    "1.",
    "1,5",
    "-1",
    "1e3",
    "0x1",
    "0.0000000000000000001",
    "١",
    "1 000",
    "9".repeat(81),
  ]) {
    assert.equal(read(wrong), undefined, wrong);
  }
});

test("an amount is written exactly; a glance never says more than there is, a bound never less", () => {
  assert.equal(formatAmount(1n, 18), "0.000000000000000001");
  assert.equal(formatAmount(25n * 10n ** 16n, 18), "0.25");
  for (const [units, seen, bound] of [
    [0n, "0", "0"],
    [1n, "< 0.000001", "0.00000001"],
    [26_250_000_147_000n, "0.000026", "0.00002626"],
    [999_999_999_999_999_999n, "0.999999", "1"],
    [1_234_567n * 10n ** 18n, "1,234,567", "1234567"],
  ] as const) {
    assert.equal(glance(units, 18), seen);
    assert.equal(atMost(units, 18), bound);
  }
});

test("an amount that is read has groups of three before its point, and none behind", () => {
  for (const [amount, read] of [
    ["0.25 ETH", "0.25 ETH"],
    ["999", "999"],
    ["1000.1234567", "1,000.1234567"],
    ["2500000 TST", "2,500,000 TST"],
    ["unlimited", "unlimited"],
  ] as const) {
    assert.equal(grouped(amount), read);
  }
});
