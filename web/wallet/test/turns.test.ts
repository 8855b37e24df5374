/** Apps and the wallet's owner take turns: what an app asks waits for its own, and when it is taken back nothing of the owner's goes with it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { WalletError } from "@pinseal/core/wallet";
import type { Consent } from "../src/consents.js";
import type { Door, Host } from "../src/flow/door.js";
import { GuestFlow } from "../src/flow/guest.js";
import { requestOf } from "../src/flow/requests.js";
import type { Outcome } from "../src/request.js";
import { ADA, ADDRESSES, BOB, browser, earlier, NETWORK, proposal, Stage, settled, TO, walletOf } from "./stage.js";

const ORIGIN = "https://shop.example";
const consents = [ADA, BOB].map((user): Consent => ({ user, app: "a", origin: ORIGIN, name: "Shop", since: 1 }));
const message = { network: NETWORK, address: ADDRESSES[ADA] ?? "", message: "0x11" };
const transaction = { network: NETWORK, transaction: { from: ADDRESSES[ADA] ?? "", to: TO, value: "0x1" } };
const account = { network: NETWORK, address: ADDRESSES[ADA] ?? "" };

browser();

/** An app that was let in, and what it is told. */
async function visit() {
  const stage = new Stage(consents);
  const hosts: Host[] = [];
  const told: string[] = [];
  const end = { hasPeer: true, show: () => undefined, closedByUser: () => undefined };
  const tell = (name: string, data: unknown) => void told.push(`${name} ${JSON.stringify(data)}`);
  const door = { end: { ...end, tell }, admit: (host: Host) => void hosts.push(host) } as unknown as Door;
  globalThis.fetch = async () => Response.json({ app_id: "a", name: "Shop", origins: [ORIGIN] });
  const guest = new GuestFlow(stage.flow, { kind: "frame", appId: "a" }, door);
  await guest.connect();
  const admitted = hosts[0] ?? assert.fail();
  assert.equal(await admitted.allow("a", ORIGIN), true);
  /** What it asks, until it is taken back. */
  const ask = (method: string, params: unknown) => {
    const control = new AbortController();
    const answer = admitted.answer(method as never, params as never, { signal: control.signal } as never);
    const said = Promise.resolve(answer).then(
      (result: unknown) => ({ result }),
      (error: unknown) => ({ code: error instanceof WalletError ? error.code : String(error) }),
    );
    return { said, cancel: () => control.abort(new WalletError("cancelled", "taken back")) };
  };
  return { stage, guest, told, ask };
}

test("what an app asked of one user is answered by no other, whether or not it had its turn", async () => {
  const { stage, guest, ask } = await visit();
  const asked = ask("evm.sendTransaction", transaction);
  const queued = ask("evm.signMessage", message);
  await settled();
  assert.equal(stage.proposals.length, 1);
  guest.changeHands(BOB);
  stage.changeOver(BOB);
  stage.proposals[0]?.resolve(proposal(ADA));
  assert.deepEqual(await Promise.all([asked.said, queued.said]), Array(2).fill({ code: "login_required" }));
  assert.equal(stage.state.open, undefined);
  // It may ask anew, of whoever is here now.
  const anew = ask("evm.signMessage", { ...message, address: ADDRESSES[BOB] });
  await settled();
  assert.equal(stage.shown?.user, BOB);
  await stage.requests.deny();
  assert.deepEqual(await anew.said, { code: "declined" });
});

test("an app hears what became of what was handed over, though somebody else is here by then", async () => {
  const { stage, guest, ask } = await visit();
  const asked = ask("evm.sendTransaction", transaction);
  await settled();
  stage.proposals[0]?.resolve(proposal(ADA));
  await settled();
  const request = stage.shown ?? assert.fail();
  const problem = { text: "problem.unsent", code: "outcome_unknown" } as const;
  stage.store.set({ open: { step: "unsent", request, signed: [], approved: undefined, problem } });
  guest.changeHands(BOB);
  stage.changeOver(BOB);
  assert.deepEqual(await asked.said, { code: "outcome_unknown" });
});

test("an app learns nothing of somebody who has logged in since it asked", async () => {
  const { stage, ask, told } = await visit();
  const asked = ask("session", {});
  await settled();
  stage.user = BOB;
  stage.me.resolve({ user_id: "u", email: BOB, login_status: "complete" });
  assert.deepEqual(await asked.said, { code: "login_required" });

  // The page shows one user's wallet still, while the profile is another's.
  stage.user = ADA;
  stage.store.set({ wallet: walletOf(ADA) });
  await settled();
  stage.user = BOB;
  stage.store.set({ wallet: { ...walletOf(ADA), account: { index: 1, address: TO } } });
  await settled();
  assert.deepEqual(told, []);
  stage.store.set({ user: BOB, wallet: walletOf(BOB) });
  await settled();
  assert.deepEqual(told, [`accounts ${JSON.stringify([{ address: ADDRESSES[BOB], network: NETWORK }])}`]);
});

test("what an app asks stands there for a second before a press agrees to it, whatever stood there before", async ({
  mock,
}) => {
  const { stage, guest, ask } = await visit();
  mock.timers.enable({ apis: ["setTimeout"] });
  const pressed = async () => {
    void stage.requests.approve();
    await settled();
    return stage.state.pad?.step;
  };
  const opensIn = async (what: string) => {
    assert.equal(stage.state.open?.step, "review", what);
    assert.equal(await pressed(), undefined, what);
    mock.timers.tick(999);
    assert.equal(await pressed(), undefined, what);
    mock.timers.tick(1);
    assert.equal(await pressed(), "enter", what);
  };
  let message = 0x10;
  const asks = async (method = "evm.signMessage") => {
    message += 1;
    const asked = ask(method, { network: NETWORK, address: ADDRESSES[ADA] ?? "", message: `0x${message}` });
    await settled();
    return asked;
  };
  const first = await asks();
  await opensIn("nothing");
  first.cancel();
  await first.said;
  // Nothing stands there for almost as long, and then another one.
  mock.timers.tick(999);
  const second = await asks();
  await opensIn("another request");
  second.cancel();
  await second.said;
  // Its pad takes no digit either.
  const pin = await asks("pin.verify");
  assert.deepEqual([stage.state.pad?.step, stage.state.isFresh], ["enter", true]);
  mock.timers.tick(1000);
  assert.equal(stage.state.isFresh, false);
  pin.cancel();
  await pin.said;
  const third = await asks();
  await opensIn("a pad");
  stage.pad.answer({ kind: "cancel" });
  await settled();
  // It is seen anew.
  stage.requests.comeUp();
  await opensIn("a tab in front");
  third.cancel();
  await third.said;

  // A question about earlier payments.
  const payment = ask("evm.sendTransaction", transaction);
  await settled();
  stage.proposals[0]?.reject(earlier());
  await settled();
  stage.requests.settle(true);
  assert.equal(stage.state.unsettled?.isGoingOn, false);
  mock.timers.tick(1000);
  stage.requests.settle(true);
  assert.equal(stage.state.unsettled?.isGoingOn, true);
  await settled();
  stage.proposals[1]?.resolve(proposal(ADA));
  await settled();
  await opensIn("a question about earlier payments");
  payment.cancel();
  await payment.said;

  // The wish to see the wallet.
  stage.store.set({ consents: [] });
  const login = ask("login", {});
  await settled();
  guest.decide(true);
  assert.notEqual(stage.state.consent, undefined);
  mock.timers.tick(1000);
  guest.decide(true);
  assert.equal(stage.state.consent, undefined);
  login.cancel();
  await login.said;

  // What its owner begins themselves waits for nothing.
  stage.requests.open(requestOf(proposal(ADA), ADA));
  mock.timers.tick(1000);
  await stage.requests.deny();
  stage.requests.open(requestOf(proposal(ADA), ADA));
  assert.equal(await pressed(), "enter");
});

test("an app's wish to see the wallet waits for what its owner does, and comes up for nobody who follows", async () => {
  const { stage, guest, ask } = await visit();
  stage.store.set({ consents: [] });
  stage.requests.open(requestOf(proposal(ADA), ADA));
  const login = ask("login", {});
  await settled();
  const isAsked = () => stage.state.consent !== undefined;
  assert.ok(!isAsked());
  await stage.requests.deny();
  await settled();
  assert.ok(isAsked());
  guest.decide(false);
  assert.deepEqual(await login.said, { code: "declined" });

  for (const method of ["login", "pin.verify"]) {
    stage.changeOver(ADA);
    stage.store.set({ consents: method === "login" ? [] : consents, busy: true });
    const asked = ask(method, {});
    await settled();
    // What was under way ends as its owner leaves, which makes room.
    stage.work.abandon();
    guest.changeHands(BOB);
    stage.changeOver(BOB);
    assert.deepEqual(await asked.said, { code: "login_required" }, method);
    await settled();
    assert.deepEqual(
      [stage.state.consent, stage.state.pinAsked, stage.state.pad],
      [undefined, undefined, undefined],
      method,
    );
  }
});

test("an app that takes a request back takes nothing away that the owner has begun", async () => {
  const { stage, ask } = await visit();
  const own = requestOf(proposal(ADA), ADA);
  stage.requests.open(own);
  const approved = stage.requests.approve();
  await settled();
  const { pad } = stage.state;
  assert.equal(pad?.step, "enter");
  for (const [method, params] of [
    ["evm.signMessage", message],
    ["receive", { account }],
    ["send", { account }],
    ["pin.verify", {}],
  ] as const) {
    const asked = ask(method, params);
    await settled();
    assert.deepEqual([stage.places, stage.state.wanted], [[], {}], method);
    asked.cancel();
    assert.deepEqual(await asked.said, { code: "cancelled" }, method);
    assert.deepEqual([stage.state.open?.request, stage.state.pad], [own, pad], method);
  }
  stage.pad.answer({ kind: "cancel" });
  await approved;
  await stage.requests.deny();

  // A form that the owner is filling in, and what is being prepared of it.
  const paid = stage.requests.pay({ to: TO, value: 1n, speed: "normal" });
  const asked = ask("evm.signMessage", message);
  await settled();
  asked.cancel();
  assert.deepEqual(await asked.said, { code: "cancelled" });
  stage.proposals[0]?.resolve(proposal(ADA));
  await paid;
  assert.equal(stage.state.open?.step, "review");
});

test("an app that takes a request back takes away all that it put up", async ({ mock }) => {
  const { stage, ask } = await visit();
  mock.timers.enable({ apis: ["setTimeout"] });
  const gone = () => {
    const { open, pad, pinAsked, wanted, unsettled } = stage.state;
    assert.deepEqual(
      [open, pad, pinAsked, wanted.to, unsettled],
      [undefined, undefined, undefined, undefined, undefined],
    );
  };
  const signing = ask("evm.signMessage", message);
  await settled();
  mock.timers.tick(1000);
  const approved = stage.requests.approve();
  await settled();
  assert.equal(stage.state.pad?.step, "enter");
  signing.cancel();
  await Promise.all([signing.said, approved]);
  gone();

  const sending = ask("send", { account, to: TO });
  await settled();
  assert.equal(stage.state.wanted.to, TO);
  const paid = stage.requests.pay({ to: TO, value: 1n, speed: "normal" });
  sending.cancel();
  stage.proposals[0]?.resolve(proposal(ADA));
  await Promise.all([sending.said, paid]);
  gone();
});

test("a PIN that nobody asks for any more leaves the screen at once, and takes nothing from the next question when its answer comes", async () => {
  const { stage, ask } = await visit();
  const first = ask("pin.verify", {});
  await stage.type();
  assert.deepEqual([stage.state.pad?.step, stage.state.pinAsked?.purpose], ["working", "verify"]);
  first.cancel();
  assert.deepEqual(await first.said, { code: "cancelled" });
  assert.deepEqual([stage.state.pad, stage.state.pinAsked], [undefined, undefined]);

  const second = ask("pin.verify", {});
  await settled();
  const { pinAsked } = stage.state;
  assert.equal(pinAsked?.purpose, "verify");
  stage.verdicts[0]?.resolve();
  await settled();
  assert.deepEqual([stage.state.pinAsked, stage.state.pad?.step], [pinAsked, "enter"]);
  await stage.type();
  // Somebody else comes, or the wallet is closed.
  stage.changeOver(BOB);
  assert.equal(stage.state.pinAsked, undefined);
  stage.verdicts[1]?.resolve();
  await second.said;
});

test("an app's form and its address wait until nothing stands before the owner, and change nothing that they prefer", async () => {
  const { stage, ask } = await visit();
  const used = stage.pad.use("verify", async () => "done");
  await settled();
  const { pad } = stage.state;
  const [receiving, sending] = [ask("receive", { account }), ask("send", { account, to: TO })];
  await settled();
  assert.deepEqual([stage.state.pad, stage.places, stage.state.wanted], [pad, [], {}]);
  await stage.type();
  await used;
  assert.deepEqual(await receiving.said, { result: "done" });
  await settled();
  assert.deepEqual(stage.places, [NETWORK, "account 0", "receive", NETWORK, "account 0"]);
  const { form } = stage.state.wanted;
  // The same once more is another form: nobody's digits are sent elsewhere than they were typed for.
  sending.cancel();
  await sending.said;
  const again = ask("send", { account, to: TO });
  await settled();
  assert.notEqual(stage.state.wanted.form, form);
  again.cancel();
  await again.said;
});

test("whoever waits for a payment hears of it, though another one was being prepared when they asked", async () => {
  const stage = new Stage();
  const outcomes: string[] = [];
  const hear = (name: string) => (outcome: Outcome) => void outcomes.push(`${name} ${outcome.kind}`);
  stage.requests.expect(hear("first"), { to: TO });
  const first = stage.requests.pay({ to: TO, value: 1n, speed: "normal" });
  stage.requests.expect(hear("second"), { to: TO });
  assert.deepEqual(outcomes, ["first declined"]);
  stage.proposals[0]?.resolve(proposal(ADA));
  await first;
  // Nothing comes of what was turned down.
  assert.equal(stage.state.open, undefined);
  const second = stage.requests.pay({ to: TO, value: 1n, speed: "normal" });
  stage.proposals[1]?.resolve(proposal(ADA));
  await second;
  await stage.requests.deny();
  assert.deepEqual(outcomes, ["first declined", "second declined"]);

  const own = stage.requests.pay({ to: TO, value: 1n, speed: "normal" });
  stage.requests.expect(hear("third"), { to: TO });
  stage.proposals[2]?.resolve(proposal(ADA));
  await own;
  assert.equal(stage.shown?.user, ADA);
  stage.requests.forget();
  assert.deepEqual(outcomes.slice(2), ["third declined"]);
});
