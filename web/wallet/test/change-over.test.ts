/** Somebody else logs in while something is under way: none of it is shown to them, and nothing of it is done by them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SendError, type Tries, WrongPinError } from "@pinseal/client";
import { Cancelled } from "../src/flow/pad.js";
import { requestOf } from "../src/flow/requests.js";
import type { Outcome } from "../src/request.js";
import {
  ADA,
  BOB,
  browser,
  earlier,
  held,
  NETWORK,
  proposal,
  type Sending,
  Stage,
  settled,
  TO,
  TRIES,
} from "./stage.js";

browser();

const wanted = { network: NETWORK, account: 0, to: TO, value: 1n };

test("a transaction that was prepared for one user comes up before no other", async () => {
  const stage = new Stage();
  const { account } = stage.state.wallet ?? assert.fail();
  const fill = stage.requests.fill({ network: NETWORK, account });
  const proposed = stage.requests.propose(wanted, []);
  const refused = assert.rejects(proposed, Cancelled);
  stage.changeOver(BOB);
  for (const { resolve } of stage.proposals) resolve(proposal(ADA));
  await refused;
  await fill;
  assert.equal(stage.state.open, undefined);
});

test("earlier payments of one user are shown to no other", async () => {
  const stage = new Stage();
  const first = assert.rejects(stage.requests.propose(wanted, []), Cancelled);
  // This one has heard of them already, and waits for its turn.
  const turn = held<void>();
  const second = stage.requests.propose(wanted, [], { from: { kind: "wallet" } }, () => turn.promise);
  const waiting = assert.rejects(second, Cancelled);
  stage.proposals[1]?.reject(earlier());
  await settled();
  stage.changeOver(BOB);
  stage.proposals[0]?.reject(earlier());
  turn.resolve();
  await Promise.all([first, waiting]);
  assert.equal(stage.state.unsettled, undefined);
});

test("a question of one user's that goes on late does not take away what another is asked", async () => {
  const stage = new Stage();
  const first = assert.rejects(stage.requests.propose(wanted, []), Cancelled);
  stage.changeOver(BOB);
  const second = stage.requests.propose(wanted, []);
  stage.proposals[1]?.reject(earlier());
  await settled();
  stage.requests.settle(true);
  assert.equal(stage.state.unsettled?.isGoingOn, true);
  stage.proposals[0]?.resolve(proposal(ADA));
  await first;
  assert.equal(stage.state.unsettled?.isGoingOn, true);
  await settled();
  stage.proposals[2]?.resolve(proposal(BOB));
  assert.equal((await second).from.address, proposal(BOB).from.address);
});

test("a request that was made for one user is neither shown to another nor signed by them", async () => {
  const stage = new Stage();
  const [forAda, forBob] = [requestOf(proposal(ADA), ADA), requestOf(proposal(BOB), BOB)];
  const told: Outcome[] = [];
  stage.requests.open({ ...forBob, told: (outcome) => void told.push(outcome) });
  assert.deepEqual([stage.state.open, told], [undefined, [{ kind: "declined" }]]);

  stage.requests.open(forAda);
  assert.equal(stage.state.open?.request, forAda);
  stage.store.set({ user: BOB });
  await stage.requests.approve();
  assert.deepEqual([stage.asked, stage.state.open], [[], undefined]);
});

test("a PIN that was typed for one user and address signs for no other", async () => {
  const changes: [string, (stage: Stage) => void][] = [
    // The tab has not heard of it yet.
    ["user_changed", (stage) => Object.assign(stage, { user: BOB })],
    ["account_changed", (stage) => Object.assign(stage.client, { account: async () => ({ index: 0, address: TO }) })],
  ];
  for (const [code, change] of changes) {
    const stage = new Stage();
    stage.requests.open(requestOf(proposal(ADA), ADA));
    const approved = stage.requests.approve();
    await settled();
    change(stage);
    await stage.type();
    const { pad } = stage.state;
    assert.equal(pad?.step === "stopped" && pad.problem.code, code);
    stage.pad.answer({ kind: "cancel" });
    await approved;
    assert.equal(stage.asked.includes("sign"), false);
  }
});

test("what a dialog does it does for whoever it was opened for", async () => {
  const stage = new Stage();
  const used = stage.pad.use("verify", async () => undefined);
  await stage.type();
  await used;
  assert.deepEqual(stage.asked, [`attest ${ADA}`]);
});

test("a dialog that was taken away asks nobody else for a PIN, whatever the page looks at meanwhile", async () => {
  const stage = new Stage();
  const verdict = held<Tries>();
  const used = assert.rejects(
    stage.pad.use("verify", () => verdict.promise),
    Cancelled,
  );
  await stage.type();
  assert.equal(stage.state.pad?.step, "working");
  stage.changeOver(BOB);
  await stage.pad.gate();
  verdict.reject(new WrongPinError({ ...TRIES, left: 4 }));
  await used;
  assert.equal(stage.state.pad, undefined);
});

test("a dialog that ends late takes nothing from the next one", async () => {
  const stage = new Stage();
  const verdict = held<string>();
  const first = stage.pad.use("verify", () => verdict.promise);
  await stage.type();
  stage.changeOver(BOB);
  const second = stage.pad.use("verify", async () => "second");
  await settled();
  verdict.resolve("first");
  assert.equal(await first, "first");
  assert.equal(stage.state.pad?.step, "enter");
  await stage.type();
  assert.equal(await second, "second");
  assert.equal(stage.state.pad, undefined);
});

test("a quiet look at the evidence touches no pad that is open, and no digit typed into it", async () => {
  const stage = new Stage();
  const used = stage.pad.use("verify", async () => "done");
  await settled();
  const { pad } = stage.state;
  assert.equal(pad?.step, "enter");
  await stage.pad.gate();
  assert.equal(stage.state.pad, pad);
  await stage.type();
  assert.equal(await used, "done");
});

test("whoever asked for a payment hears that it was not sent, though its user leaves while its nonce is given back", async () => {
  const stage = new Stage();
  const { broadcast, approved, told } = await stage.sending();
  const release = held<void>();
  stage.onRelease = () => release.promise;
  broadcast.reject(earlier());
  await settled();
  assert.deepEqual(stage.released, ["nonce 1"]);
  stage.changeOver(BOB);
  release.resolve();
  await approved;
  assert.deepEqual(told, [{ kind: "unsent", code: "payment_unsettled", handedOver: [] }]);
  assert.deepEqual([stage.state.open, stage.state.unsettled], [undefined, undefined]);
});

test("a payment that is being handed over when its user leaves is shown to nobody else, and whoever asked hears of it", async () => {
  const refused = new SendError("nonce_taken", "refused");
  const ends: [Outcome["kind"], (sending: Sending) => void][] = [
    ["sent", ({ broadcast }) => broadcast.resolve({ hash: "0x1", status: "pending" } as never)],
    ["unsent", ({ broadcast }) => broadcast.reject(refused)],
    ["unsent", ({ broadcast }) => broadcast.reject(earlier())],
  ];
  for (const [kind, end] of ends) {
    const stage = new Stage();
    const sending = await stage.sending();
    stage.changeOver(BOB);
    assert.equal(stage.state.open, undefined);
    end(sending);
    await sending.approved;
    await settled();
    const { open, unsettled } = stage.state;
    assert.deepEqual([open, unsettled, stage.followed, stage.proposals], [undefined, undefined, [], []]);
    assert.deepEqual(
      sending.told.map((outcome) => outcome.kind),
      [kind],
    );
  }
});

test("a user who is here before anything was taken away is not asked about another's earlier payments", async () => {
  const stage = new Stage();
  const { broadcast, approved, told } = await stage.sending();
  stage.store.set({ user: BOB });
  broadcast.reject(earlier());
  await approved;
  assert.deepEqual([stage.state.unsettled, stage.proposals, told.length], [undefined, [], 1]);
});

test("what one user signed is sent again by no other", async () => {
  const stage = new Stage();
  const { broadcast, approved, told } = await stage.sending();
  broadcast.reject(new SendError("payments_unsettled_max"));
  await approved;
  assert.equal(stage.state.open?.step, "unsent");
  // Before anything was taken away.
  stage.store.set({ user: BOB });
  await stage.requests.sendAgain();
  assert.deepEqual([stage.broadcasts.length, stage.state.open, told.length], [1, undefined, 1]);
});

test("what ends late for one user neither drops nor gives back the nonce that another holds", async () => {
  const ends: [string, (sending: Sending) => void][] = [
    ["carried out", ({ broadcast }) => broadcast.resolve({ hash: "0x1", status: "pending" } as never)],
    ["refused", ({ broadcast }) => broadcast.reject(new SendError("payments_unsettled_max"))],
  ];
  for (const [said, end] of ends) {
    const stage = new Stage();
    const first = await stage.sending();
    stage.changeOver(BOB);
    const second = await stage.sending(BOB);
    end(first);
    await first.approved;
    assert.deepEqual(stage.released, [], said);
    second.broadcast.reject(new SendError("payments_unsettled_max"));
    await second.approved;
    await stage.requests.deny();
    assert.deepEqual(stage.released, ["nonce 2"], said);
  }
});
