/** The history of attempts: shown whole by an honest host, and by no other. */

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { System, withoutPrograms } from "@pinseal/testing";
import { LogApi } from "../src/api/log.js";
import { toHex } from "../src/bytes.js";
import { decode } from "../src/cbor/codec.js";
import { merge, type Opened } from "../src/history/attempts.js";
import { shown } from "../src/history/history.js";
import {
  type Attested,
  type Client,
  HistoryError,
  NewPin,
  Pin,
  type PinsealError,
  personalMessage,
  RefusedError,
  WrongPinError,
} from "../src/index.js";
import type { Detail } from "../src/protocol/history.js";
import { entry } from "../src/protocol/log.js";
import { Between, clientOf, type Json, problem, signUp } from "./device.js";
import { hex, vectors } from "./vectors.js";

/** Writes of version 1 on, newest first, as they are shown. */
function writes(...steps: readonly (readonly [Detail["step"], number])[]): Opened[] {
  const opened = steps.map(([step, device], at): Opened => {
    const version = BigInt(at + 1);
    const detail: Detail = { step, method: "sign", time: version * 10n, device: new Uint8Array(32).fill(device) };
    const place = { index: 3n * version, path: [] };
    return { write: { version, outer: new Uint8Array(32), detail: new Uint8Array(96), ...place }, detail };
  });
  return opened.reverse();
}

test("a charge and its verdict are one attempt, and a charge alone was never answered", () => {
  const steps = writes(
    ["prepared", 1],
    ["charged", 2],
    ["right", 2],
    ["charged", 1],
    ["charged", 1],
    ["wrong", 1],
    ["charged", 2],
    ["fault", 2],
    ["accepted", 1],
  );
  const attempts = merge(steps, true);
  assert.deepEqual(
    attempts.map(({ version, result }) => [version, result]),
    [
      [9n, "accepted"],
      [7n, "fault"],
      [5n, "wrong"],
      [4n, "unanswered"],
      [2n, "right"],
      [1n, "prepared"],
    ],
  );
  assert.deepEqual([attempts[2]?.index, attempts[2]?.time, attempts[2]?.device[0]], [15, 50n, 1]);
});

test("changes of the configuration and pauses of enrolment are told as what they are", () => {
  const { encodings } = vectors<{ encodings: Record<string, { hex: string }> }>("protocol/golden.json");
  const told = (name: string) => shown(7, decode(entry, hex(encodings[name]?.hex ?? "")));
  const [boot, configured, tripped] = ["boot", "configured", "tripped"].map((name) => told(`entry/${name}`));
  assert.equal(boot?.kind, "boot");
  assert.ok(configured?.kind === "configured" && !configured.resumed && configured.restores === 0);
  assert.ok(tripped?.kind === "paused" && tripped.time === (boot as { time: bigint }).time);
  assert.deepEqual(shown(7, undefined), { index: 7, kind: "unknown" });
});

test("a verdict without its charge is a contradiction, unless the charge was not asked for", () => {
  const contradicts = (version: bigint) => (error: unknown) =>
    error instanceof HistoryError && error.code === "history_contradiction" && error.message.includes(`${version}`);
  assert.throws(() => merge(writes(["right", 1], ["charged", 1], ["right", 1]), true), contradicts(1n));
  assert.throws(() => merge(writes(["prepared", 1], ["right", 1]), true), contradicts(2n));
  assert.throws(() => merge(writes(["charged", 2], ["right", 1]), false), contradicts(2n));
  assert.throws(() => merge(writes(["charged", 1], ["right", 1], ["wrong", 1]), true), contradicts(3n));
  assert.deepEqual(
    merge(writes(["right", 1], ["charged", 1], ["wrong", 1]), false).map(({ version }) => version),
    [2n],
  );
});

const EMAIL = "joan@example.org";
const PASSWORD = "correct horse 2";
const HISTORY = "/v1/wallet/history";
const EVENTS = "/v1/log/events";
const pin = () => Pin.parse("482915");
const code = (wanted: string) => (error: unknown) => (error as PinsealError).code === wanted;

interface Items extends Json {
  items: (Json & { index: number; entry: string; proof: string[] })[];
}

test("the history of a wallet", { skip: withoutPrograms }, async (t) => {
  let up: System;
  let between: Between;
  let client: Client;
  let attested: Attested;

  /** What the host makes of the items on one path. */
  function lie(path: string, change: (items: Items["items"]) => Items["items"]): void {
    between.onRequest = async (asked, forward) => {
      const honest = await forward();
      return asked === path ? { ...honest, items: change((honest as Items).items) } : honest;
    };
  }

  before(async () => {
    up = await System.start();
    between = new Between();
    client = clientOf(up, { environment: between.environment });
    await signUp(up, client, EMAIL, PASSWORD);
    attested = await client.attest();
    await attested.register(NewPin.choose(pin()), "device");
    await attested.sign(pin(), [personalMessage(0, "hello")]);
    await assert.rejects(attested.verifyPin(Pin.parse("135790")), WrongPinError);
  });
  beforeEach(() => {
    between.onRequest = (_, forward) => forward();
  });
  after(async () => {
    await up?.stop();
  });

  await t.test("is shown whole, newest first, with who asked for what", async () => {
    const history = await attested.history();
    assert.deepEqual(
      history.attempts.map(({ method, result }) => [method, result]),
      [
        ["verify_pin", "wrong"],
        ["sign", "right"],
        ["register_confirm", "right"],
        ["register_prepare", "prepared"],
      ],
    );
    const device = toHex(await client.deviceId());
    assert.ok(history.attempts.every((attempt) => toHex(attempt.device) === device));
    assert.deepEqual([history.isComplete, history.writes, history.proven], [true, 7n, 7n]);
    assert.deepEqual(
      history.events.map(({ kind }) => kind),
      ["boot"],
    );
    const newest = await attested.history(1);
    assert.deepEqual([newest.isComplete, newest.proven, newest.attempts.length], [false, 3n, 1]);
    assert.deepEqual(newest.attempts, history.attempts.slice(0, 1));
    // Every write is proved, and one attempt is not listed.
    const most = await attested.history(3);
    assert.deepEqual([most.isComplete, most.proven, most.attempts.length], [false, 7n, 3]);
    // Reading it tests no PIN and leaves no trace.
    assert.equal((await attested.history()).writes, 7n);
  });

  await t.test("is for enrolled devices", async () => {
    const stranger = clientOf(up);
    await stranger.login.logIn(EMAIL, PASSWORD);
    const refused = (error: unknown) => error instanceof RefusedError && error.code === "device_not_enrolled";
    await assert.rejects((await stranger.attest()).history(), refused);
  });

  await t.test("that lacks an attempt, at whichever end, is refused", async () => {
    lie(HISTORY, (items) => items.slice(1));
    await assert.rejects(attested.history(), code("history_incomplete"));
    lie(HISTORY, (items) => items.slice(0, -1));
    await assert.rejects(attested.history(), code("history_incomplete"));
    lie(HISTORY, (items) => items.filter((_, at) => at !== 2));
    await assert.rejects(attested.history(), code("history_incomplete"));
    lie(HISTORY, () => []);
    await assert.rejects(attested.history(), code("history_incomplete"));
  });

  await t.test("with an entry that was changed, moved or is another's is refused", async () => {
    const flipped = (text: string) => (text.endsWith("0") ? `${text.slice(0, -1)}1` : `${text.slice(0, -1)}0`);
    lie(HISTORY, (items) => items.map((item, at) => (at === 1 ? { ...item, entry: flipped(item.entry) } : item)));
    await assert.rejects(attested.history(), code("history_forged"));
    lie(HISTORY, (items) => items.map((item, at) => (at === 1 ? { ...item, index: item.index - 1 } : item)));
    await assert.rejects(attested.history(), code("history_forged"));
    lie(HISTORY, (items) => items.map((item) => ({ ...item, proof: item.proof.map(flipped) })));
    await assert.rejects(attested.history(), code("history_forged"));
    lie(HISTORY, (items) => items.map((item) => ({ ...item, proof: item.proof.map((hash) => hash.slice(2)) })));
    await assert.rejects(attested.history(), code("history_forged"));
    lie(HISTORY, ([first, ...rest]) => (first === undefined ? [] : [first, first, ...rest]));
    await assert.rejects(attested.history(), code("history_disorder"));
    // Another user's write, and one that is about no wallet: both are in the log that is asked for, and proved.
    const beside = new Between();
    const other = clientOf(up, { environment: beside.environment });
    await signUp(up, other, "kay@example.org", PASSWORD);
    await (await other.attest()).register(NewPin.choose(pin()), "device");
    const log = new LogApi(other.sessions);
    let shown: Json = {};
    beside.onRequest = async (_, forward) => {
      shown = await forward();
      return shown;
    };
    for (const show of [
      (size: bigint) => log.writes(size, 32n, undefined),
      (size: bigint) => log.events(size, undefined),
    ]) {
      between.onRequest = async (asked, forward, query) => {
        if (asked !== HISTORY) return forward();
        await show(BigInt(query.get("size") ?? 0));
        return shown;
      };
      await assert.rejects(attested.history(), code("history_foreign"));
    }
  });

  await t.test("whose newest boot is hidden, or whose events are no events, is refused", async () => {
    lie(EVENTS, () => []);
    await assert.rejects(attested.history(), code("history_boot_missing"));
    let writesShown: Items["items"] = [];
    between.onRequest = async (asked, forward) => {
      const honest = await forward();
      if (asked === HISTORY) writesShown = (honest as Items).items;
      return asked === EVENTS ? { ...honest, items: writesShown } : honest;
    };
    await assert.rejects(attested.history(), code("history_foreign"));
  });

  await t.test("waits where the host has had too many, and not for ever", async () => {
    let asked = 0;
    between.onRequest = async (path, forward) => {
      if (path !== HISTORY) return forward();
      asked += 1;
      return asked <= 2 ? { ...problem(429, "rate_limited", true), retry_after_seconds: 3 } : forward();
    };
    assert.equal((await attested.history()).isComplete, true);
    assert.equal(asked, 3);
    between.onRequest = async (path, forward) =>
      path === HISTORY ? { ...problem(429, "rate_limited", true), retry_after_seconds: 3 } : forward();
    await assert.rejects(attested.history(), code("rate_limited"));
  });
});
