import assert from "node:assert/strict";
import { test } from "node:test";
import { dateOf, timeOf } from "../src/moment.js";

test("a moment is written as people read it, and no number of a host's is one that cannot be written", () => {
  const seconds = Date.UTC(2026, 4, 6, 7, 8) / 1000;
  assert.match(timeOf(seconds, "en"), /^[0-9]{1,2}:08.[AP]M$/);
  assert.match(dateOf(seconds, "en"), /2026/);
  assert.notEqual(timeOf(8_640_000_000_000, "en"), "");
  for (const never of [8_640_000_000_001, 9e15, Number.MAX_SAFE_INTEGER]) {
    for (const write of [dateOf, timeOf])
      for (const language of ["en", "ko"] as const) assert.equal(write(never, language), "");
  }
});
