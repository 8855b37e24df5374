/** A host that would have a payment made twice: it says that it did not send one, names the next nonce, and carries out both. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ApiError,
  type Client,
  MemoryStore,
  type Outgoing,
  ProfileError,
  type ProfileStore,
  parseUnsigned,
  SendError,
  toHex,
} from "../src/index.js";
import { clientAt, Host, NETWORK, NOW, OWNER, refusal, SECOND, signed, standing } from "./host.js";
import { code, LIST, nonces, pay, REQUEST, say, stops, TO, taken } from "./paying.js";

const BROADCAST = "POST /v1/tx/broadcast";

/** A host that says that it refused the payment with nonce 0, and keeps it. */
async function refused(): Promise<{ host: Host; client: Client }> {
  const host = new Host();
  const client = await clientAt(host);
  host.onBroadcast = () => refusal(422, "transaction_rejected");
  await assert.rejects(pay(client), code("transaction_rejected"));
  return { host, client };
}

/** An honest row about it. */
function itemSent({ network, from, nonce, hash, unsigned }: Outgoing): Record<string, unknown> {
  const { to, value } = parseUnsigned(unsigned);
  return {
    network,
    hash,
    from,
    to: to && `0x${toHex(to)}`,
    value: `${value}`,
    nonce: Number(nonce),
    status: "pending",
  };
}

test("said to be refused, and the next nonce is named: it is not prepared again", async () => {
  const { host, client } = await refused();
  host.nonce = 1;
  await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
  await assert.rejects(client.prepareTransaction(REQUEST), stops(0n));
  assert.equal(host.count("POST /v1/tx/release"), 1, "what was held for it is given back");
  await assert.rejects(client.proposeTransaction({ ...REQUEST, value: 6n }), stops(0n));
  // An app names it, as the next one or as that of one that waits.
  await assert.rejects(client.proposeTransaction({ ...REQUEST, nonce: 1 }), stops(0n));
  await assert.rejects(client.proposeTransaction({ ...REQUEST, nextNonce: 1 }), stops(0n));
  await assert.rejects(client.proposeTransaction({ ...REQUEST, nextNonce: 0 }), code("nonce_taken"));
  const [entry] = await client.outgoing();
  assert.ok(entry);
  const { from, network, signedAt, hash } = entry;
  assert.deepEqual([from, network, signedAt], [OWNER, NETWORK, NOW]);
  assert.match(hash, /^0x[0-9a-f]{64}$/);
});

test("said to be refused, and its nonce is named again, as an honest host does: it takes its place", async () => {
  const { host, client } = await refused();
  const again = await client.takeNonce(await client.proposeTransaction(REQUEST));
  assert.deepEqual([nonces(again.instead), nonces(again.beside)], [[0n], []]);
  host.onBroadcast = (item) => ({ json: item });
  await client.networks.broadcast(NETWORK, await signed(again));
  // The same bytes: sent again, and confirmed.
  assert.equal(standing(await client.outgoing()), "0 waiting");
});

test("the nonce that is taken is another one than was shown: it is not signed", async () => {
  const { host, client } = await refused();
  const shown = await client.proposeTransaction(REQUEST);
  host.nonce = 1;
  await assert.rejects(client.takeNonce(shown), stops(0n));
  assert.equal(host.count("POST /v1/tx/release"), 1, "what was held for it is given back");
});

test("what was shown to take the place of another is not signed to go beside it, whatever that one does meanwhile", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "dropped");
  // Also where it does something else.
  const shown = await client.proposeTransaction({ ...REQUEST, value: 6n });
  assert.deepEqual(nonces(shown.instead), [0n]);
  say(host, hash, "pending");
  host.nonce = 1;
  await assert.rejects(client.takeNonce(shown), stops(0n));
});

test("what was shown to take the place of another is not sent when that one waits again", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "dropped");
  const approved = await client.takeNonce(await client.proposeTransaction({ ...REQUEST, value: 6n }));
  say(host, hash, "pending");
  await client.networks.transactions(NETWORK, OWNER);
  host.asked.length = 0;
  await assert.rejects(client.networks.broadcast(NETWORK, await signed(approved), approved), code("nonce_taken"));
  assert.equal(host.count(BROADCAST), 0);
  // Unless it was asked for.
  const meant = await client.takeNonce(await client.proposeTransaction({ ...REQUEST, value: 6n, nonce: 0 }));
  await client.networks.broadcast(NETWORK, await signed(meant), meant);
});

test("what repeats one that was not there when it was approved is not signed; another one is", async () => {
  const [host, store] = [new Host(), new MemoryStore()];
  const [here, there] = [await clientAt(host, store), await clientAt(host, store)];
  const same = await here.proposeTransaction(REQUEST);
  const other = await here.proposeTransaction({ ...REQUEST, value: 6n });
  await pay(there);
  host.nonce = 1;
  assert.deepEqual(nonces((await here.takeNonce(other)).beside), [0n]);
  await assert.rejects(here.takeNonce(same), stops(0n));
});

test("what is kept already is handed over once more, whatever is in doubt beside it", async () => {
  const { host, client, hash } = await taken();
  host.nonce = 1;
  const approved = await client.takeNonce(await client.proposeTransaction(REQUEST));
  const raw = await signed(approved);
  host.onBroadcast = () => undefined;
  await assert.rejects(client.networks.broadcast(NETWORK, raw, approved), code("outcome_unknown"));
  say(host, hash, "dropped");
  await client.networks.transaction(NETWORK, hash);
  host.onBroadcast = (item) => ({ json: item });
  await client.networks.broadcast(NETWORK, raw);
  assert.equal(standing(await client.outgoing()), "0 unsent?, 1 waiting");
  // In a block its nonce is used up, by itself.
  say(host, (await client.outgoing()).at(-1)?.hash ?? "", "mined");
  await client.networks.transactions(NETWORK, OWNER);
  await client.networks.broadcast(NETWORK, raw, approved);
});

test("a nonce that is used up, or that of one that waits, is no honest host's to name", async () => {
  const { host, client, hash } = await taken();
  await assert.rejects(client.proposeTransaction(REQUEST), code("transaction_unreasonable"));
  assert.deepEqual(nonces((await client.proposeTransaction({ ...REQUEST, nonce: 0 })).instead), [0n]);
  for (const status of ["mined", "failed", "final"]) {
    say(host, hash, status);
    await assert.rejects(client.proposeTransaction(REQUEST), code("transaction_unreasonable"));
    await assert.rejects(client.proposeTransaction({ ...REQUEST, nonce: 0 }), code("not_replaceable"));
  }
});

test("a nonce that an app names is judged again when it is approved", async () => {
  const { host, client, hash } = await taken();
  const shown = await client.proposeTransaction({ ...REQUEST, nonce: 1 });
  assert.deepEqual(nonces(shown.beside), [0n]);
  assert.deepEqual(await client.takeNonce(shown), shown);
  say(host, hash, "dropped");
  await assert.rejects(client.takeNonce(shown), stops(0n));
});

test("taken, and said to be dropped later: another nonce is refused, and so it stays until its owner has looked", async () => {
  for (const status of ["dropped", "replaced"]) {
    const { host, client, hash } = await taken();
    host.nonce = 1;
    assert.deepEqual(nonces((await client.proposeTransaction(REQUEST)).beside), [0n]);
    // Whoever is stopped knows from then on that it was denied, also when it is carried out after all.
    for (const said of [status, "pending", "mined", "final"]) {
      say(host, hash, said);
      await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
    }
    assert.equal(standing(await client.outgoing()), "0 final?");
    host.asked.length = 0;
    const meant = { ...REQUEST, beside: [{ hash, state: "final" as const }] };
    assert.deepEqual(nonces((await client.proposeTransaction(meant)).beside), []);
    assert.equal(host.count(LIST), 1, "of what is doubted it is asked, whatever it called it");
    assert.equal(standing(await client.outgoing()), "0 final?", "nothing was handed over");
    await pay(client, meant);
    assert.equal(standing(await client.outgoing()), "0 final, 1 waiting");
  }
});

test("a host that cannot be asked is no reason to go on", async () => {
  const { host, client, hash } = await taken();
  host.nonce = 1;
  host.onList = () => refusal(429, "rate_limited");
  await assert.rejects(client.proposeTransaction(REQUEST), code("rate_limited"));
  host.onList = () => ({ json: { items: [] } });
  host.onLook = () => refusal(429, "rate_limited");
  await assert.rejects(client.proposeTransaction(REQUEST), code("rate_limited"));
  host.onLook = undefined;
  // One that answers about another transaction has not answered.
  host.onList = () => ({ json: { items: [] } });
  host.known.set(hash, { ...host.known.get(hash), hash: `0x${"00".repeat(32)}` });
  await assert.rejects(client.proposeTransaction(REQUEST), code("answer_malformed"));
});

test("where nothing of the account is kept the host is asked nothing", async () => {
  const host = new Host();
  const client = await clientAt(host);
  await client.takeNonce(await client.proposeTransaction(REQUEST));
  assert.equal(host.count(LIST), 0);
  await pay(client);
  await client.vault.update((profile) => ({
    ...profile,
    outgoing: profile.outgoing.map((entry) => ({ ...entry, network: "eip155:1" })),
  }));
  host.asked.length = 0;
  await client.proposeTransaction({ ...REQUEST, value: 6n });
  assert.deepEqual(host.asked, ["POST /v1/tx/prepare"], "what is done elsewhere is asked for where the same is wanted");
});

test("an answer that does not come, or is none, leaves it in doubt", async () => {
  for (const [onBroadcast, wanted] of [
    [() => undefined, "outcome_unknown"],
    [() => ({ json: {} }), "outcome_unknown"],
    [(item: object) => ({ json: { ...item, hash: `0x${"00".repeat(32)}` } }), "answer_malformed"],
    [(item: object) => ({ json: { ...item, to: SECOND } }), "answer_malformed"],
  ] as const) {
    const host = new Host();
    const client = await clientAt(host);
    host.onBroadcast = onBroadcast;
    await assert.rejects(pay(client), code(wanted));
    assert.equal(standing(await client.outgoing()), "0 unsent?");
    host.nonce = 1;
    await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
  }
});

test("after a first answer that did not come a refusal proves nothing: it is sent again, and looked for", async () => {
  for (const later of [refusal(422, "transaction_rejected"), refusal(401, "session_revoked"), refusal(503, "status")]) {
    const host = new Host();
    const client = await clientAt(host);
    const approved = await client.takeNonce(await client.proposeTransaction(REQUEST));
    const raw = await signed(approved);
    const answers = [undefined, later];
    host.onBroadcast = () => (answers.length > 1 ? answers.shift() : later);
    await assert.rejects(client.networks.broadcast(NETWORK, raw, approved), (error: unknown) => {
      assert.ok(error instanceof ApiError && error.leavesOutcomeOpen, String(error));
      return error.code === "outcome_unknown" && !error.isSessionEnd;
    });
    assert.equal(standing(await client.outgoing()), "0 unsent?");
  }
});

test("the first answer is a refusal: it is not sent again", async () => {
  const { host } = await refused();
  assert.deepEqual([host.count(BROADCAST), host.asked.filter((asked) => asked.startsWith("GET")).length], [1, 0]);
});

test("what was sent, and refused when it was sent again, is found", async () => {
  const host = new Host();
  const client = await clientAt(host);
  host.onBroadcast = (item) => {
    const isFirst = host.known.size === 0;
    host.known.set(String(item.hash), item);
    return isFirst ? undefined : refusal(409, "nonce_used");
  };
  const { hash, status } = await pay(client);
  assert.deepEqual([status, host.count(BROADCAST), host.count(`GET /v1/tx/${NETWORK}/${hash}`)], ["pending", 3, 1]);
  assert.equal(standing(await client.outgoing()), "0 waiting");
  // What is found is what was signed, or nothing.
  const other = new Host();
  const there = await clientAt(other);
  other.onBroadcast = (item) => {
    other.known.set(String(item.hash), { ...item, to: SECOND });
    return undefined;
  };
  await assert.rejects(pay(there), code("answer_malformed"));
  assert.equal(standing(await there.outgoing()), "0 unsent?");
});

test("what fails here once it is handed over says nothing of what the host has", async () => {
  const [host, store] = [new Host(), new Full()];
  const client = await clientAt(host, store);
  // Whether it had it or not, the host says that the token is too old, and the new one cannot be kept.
  host.onBroadcast = () => {
    store.isFull = true;
    return refusal(401, "token_expired");
  };
  await assert.rejects(pay(client), (error: unknown) => {
    return error instanceof ApiError && error.code === "outcome_unknown" && error.leavesOutcomeOpen;
  });
});

test("what was begun for one user is handed over and looked for as no other, and that another has come is no refusal", async () => {
  for (const answer of [undefined, refusal(401, "token_expired")]) {
    const host = new Host();
    const client = await clientAt(host);
    host.onBroadcast = async () => {
      await client.vault.update((profile) => {
        assert.ok(profile.session);
        return { ...profile, session: { ...profile.session, user: "other@b", accessToken: "theirs" } };
      });
      host.asked.length = 0;
      return answer;
    };
    await assert.rejects(pay(client), (error: unknown) => {
      return error instanceof ApiError && error.code === "outcome_unknown" && error.leavesOutcomeOpen;
    });
    assert.deepEqual(host.asked, []);
    assert.equal(standing(await client.outgoing()), "0 unsent?");
  }
});

/** Keeps nothing more once it is `full`. */
class Full implements ProfileStore {
  readonly #store = new MemoryStore();
  isFull = false;

  exclusive: ProfileStore["exclusive"] = (work) =>
    this.#store.exclusive(({ load, save }) =>
      work({
        load,
        save: async (profile) => {
          if (this.isFull) throw new ProfileError("profile_unavailable", new Error("full"));
          await save(profile);
        },
      }),
    );
}

test("what cannot be kept is not sent", async () => {
  const [host, store] = [new Host(), new Full()];
  const client = await clientAt(host, store);
  store.isFull = true;
  await assert.rejects(pay(client), ProfileError);
  assert.equal(host.count(BROADCAST), 0);
  store.isFull = false;
  // It is written before it is sent, and sent even if the answer cannot be written.
  host.onBroadcast = (item) => {
    store.isFull = true;
    return { json: item };
  };
  assert.equal((await pay(client)).status, "pending");
  assert.equal(standing(await client.outgoing()), "0 unsent?");
});

test("where as many are kept as may be, and none is in a block, nothing is prepared and nothing is sent", async () => {
  const { host, client } = await refused();
  const [entry] = await client.outgoing();
  assert.ok(entry);
  const approved = await client.takeNonce(await client.proposeTransaction({ ...REQUEST, value: 6n }));
  const many = Array.from({ length: 256 }, (_, at) => ({ ...entry, network: "eip155:1", hash: `0x${at}` }));
  await client.vault.update((profile) => ({ ...profile, outgoing: many }));
  host.asked.length = 0;
  const other = { ...REQUEST, value: 7n };
  await assert.rejects(client.proposeTransaction(other), code("payments_unsettled_max"));
  const sent = client.networks.broadcast(NETWORK, await signed(approved), approved);
  await assert.rejects(sent, code("payments_unsettled_max"));
  assert.equal(host.count(BROADCAST), 0);
  // What was looked up elsewhere makes room.
  host.onBroadcast = (item) => ({ json: item });
  await pay(client, { ...other, beside: [{ hash: "0x3", state: "unsent" }] });
  const left = await client.outgoing();
  assert.deepEqual([left.length, left.some(({ hash }) => hash === "0x3")], [256, false]);
});

test("where there is no room the host is asked about what is in no block, wherever it was signed, and that makes some", async () => {
  for (const isLate of [false, true]) {
    const { host, client } = await taken();
    const [entry] = await client.outgoing();
    assert.ok(entry);
    // None of them are of the account and network that pays: of those nothing was asked before.
    const many = Array.from({ length: 256 }, (_, at): Outgoing => {
      const network = at < 200 ? "eip155:1" : `eip155:${at}`;
      return { ...entry, network, from: SECOND, hash: `0x${at.toString(16).padStart(64, "0")}`, known: "told" };
    });
    const fill = () => client.vault.update((profile) => ({ ...profile, outgoing: many }));
    const other = { ...REQUEST, account: 0, value: 7n };
    host.known.clear();
    const approved = await client.takeNonce(await client.proposeTransaction(other));
    await fill();
    host.onList = () => ({ json: { items: [] } });
    host.onLook = () => refusal(503, "overloaded", true);
    host.asked.length = 0;
    const raw = await signed(approved);
    const pays = async (): Promise<unknown> =>
      isLate ? client.networks.broadcast(NETWORK, raw, approved) : client.proposeTransaction(other);
    await assert.rejects(pays(), code("payments_unsettled_max"));
    // Sixteen lists, and the oldest sixteen that none tells of.
    assert.equal(host.count(LIST), 16);
    const looks = host.asked.filter((asked) => asked.startsWith("GET /v1/tx/"));
    assert.deepEqual(
      looks,
      many.slice(0, 16).map(({ network, hash }) => `GET /v1/tx/${network}/${hash}`),
    );
    assert.equal(host.count(BROADCAST), 0);
    // One is final by now.
    host.onList = (asked) => {
      const row = { ...itemSent({ ...entry, ...many[17] } as Outgoing), status: "final" };
      return { json: { items: asked.get("network") === "eip155:1" ? [row] : [] } };
    };
    await pays();
  }
});

test("what was accepted while it waits is no reason again, until it stands at something else", async () => {
  const { host, client, hash } = await taken();
  host.nonce = 1;
  say(host, hash, "dropped");
  await client.networks.transactions(NETWORK, OWNER);
  say(host, hash, "pending");
  await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
  await pay(client, { ...REQUEST, value: 6n, beside: [{ hash, state: "waiting" }] });
  assert.equal(standing(await client.outgoing()), "0 waiting, 1 waiting", "it is kept");
  host.nonce = 2;
  assert.deepEqual(nonces((await client.proposeTransaction(REQUEST)).beside), [1n]);
  say(host, hash, "dropped");
  await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
});

test("what another tab has signed meanwhile is seen before anything is sent", async () => {
  const host = new Host();
  const store = new MemoryStore();
  const [here, there] = [await clientAt(host, store), await clientAt(host, store)];
  const approved = await here.takeNonce(await here.proposeTransaction(REQUEST));
  const raw = await signed(approved);
  // The same, by somebody who does not see this one: it waits, and this one would come on top of it.
  host.nonce = 1;
  await pay(there);
  host.asked.length = 0;
  await assert.rejects(here.networks.broadcast(NETWORK, raw, approved), stops(1n));
  assert.equal(host.count(BROADCAST), 0);
  assert.equal(standing(await here.outgoing()), "1 waiting?");
  // Whoever was shown it may go on.
  const [shown] = await here.outgoing();
  assert.ok(shown);
  await here.networks.broadcast(NETWORK, raw, { ...approved, beside: [shown] });
  assert.equal(host.count(BROADCAST), 1);
});

test("what was signed without being prepared here is judged as well, and only that it repeats another is not asked about", async () => {
  const { host, client } = await refused();
  const other = await clientAt(new Host());
  const made = async (nonce: number) => {
    const one = new Host();
    one.nonce = nonce;
    return signed(await (await clientAt(one)).proposeTransaction(REQUEST));
  };
  await assert.rejects(client.networks.broadcast(NETWORK, await made(1)), stops(0n));
  await other.networks.broadcast(NETWORK, await made(0));
  await other.networks.broadcast(NETWORK, await made(1));
  assert.equal(standing(await other.outgoing()), "0 waiting, 1 waiting");
  assert.equal(host.count(BROADCAST), 1);
});

test("what only uses up a nonce pays for nothing twice", async () => {
  const { host, client } = await refused();
  host.nonce = 1;
  const nothing = { ...REQUEST, to: OWNER, value: 0n };
  const { unreplaced, beside } = await client.proposeTransaction(nothing);
  assert.deepEqual([nonces(unreplaced), nonces(beside)], [[0n], []], "and it says what it does not take the place of");
  host.onBroadcast = (item) => ({ json: item });
  assert.equal((await pay(client, nothing)).nonce, 1);
  await assert.rejects(client.proposeTransaction({ ...nothing, value: 1n }), stops(0n));
  await assert.rejects(client.proposeTransaction({ ...nothing, to: TO }), stops(0n));
  const call = { ...nothing, data: Uint8Array.of(1), gasLimitMax: 30_000 };
  await assert.rejects(client.proposeTransaction(call), stops(0n));
});

test("what pays nobody and was shown to take the place of another is not signed to go beside it", async () => {
  for (const status of ["dropped", "pending"]) {
    const { host, client, hash } = await taken();
    say(host, hash, "dropped");
    const shown = await client.proposeTransaction({ ...REQUEST, to: OWNER, value: 0n });
    assert.deepEqual([nonces(shown.instead), nonces(shown.unreplaced)], [[0n], []]);
    say(host, hash, status);
    host.nonce = 1;
    await assert.rejects(client.takeNonce(shown), stops(0n));
    // Nor handed over, whatever it was signed as.
    const other = await client.takeNonce(await client.proposeTransaction({ ...REQUEST, to: OWNER, value: 0n }));
    const sent = client.networks.broadcast(NETWORK, await signed(other), { ...other, instead: shown.instead });
    await assert.rejects(sent, stops(0n));
    assert.equal(host.count(BROADCAST), 1);
  }
});

test("what is no transaction of this network is neither kept nor sent", async () => {
  const host = new Host();
  const client = await clientAt(host);
  const { raw } = await signed(await client.proposeTransaction(REQUEST));
  await assert.rejects(client.networks.broadcast("eip155:1", { raw }), RangeError);
  await assert.rejects(client.networks.broadcast(NETWORK, { raw: raw.slice(1) }), code("transaction_malformed"));
  assert.deepEqual([await client.outgoing(), host.count(BROADCAST)], [[], 0]);
});

test("whoever has looked elsewhere goes on, and is not asked again once that is handed over", async () => {
  const { host, client } = await refused();
  host.nonce = 1;
  const stopped = await client.proposeTransaction(REQUEST).catch((error: unknown) => error);
  assert.ok(stopped instanceof SendError);
  const meant = { ...REQUEST, beside: stopped.unsettled };
  const proposed = await client.proposeTransaction(meant);
  assert.deepEqual([proposed.transaction.nonce, proposed.beside, proposed.instead], [1n, [], []]);
  // Whoever goes no further has accepted nothing.
  await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
  host.onBroadcast = (item) => ({ json: item });
  await pay(client, meant);
  assert.equal(standing(await client.outgoing()), "1 waiting");
});

test("acceptance is of where it stood: what stands otherwise by now stops again, and is kept", async () => {
  const { host, client } = await refused();
  host.nonce = 1;
  const [unsent] = await client.outgoing();
  assert.ok(unsent);
  const meant = { ...REQUEST, beside: [unsent] };
  const approved = await client.takeNonce(await client.proposeTransaction(meant));
  const raw = await signed(approved);
  host.known.set(unsent.hash, { ...itemSent(unsent), status: "mined" });
  // Also where another tab learnt it, after the nonce was taken.
  await client.networks.transactions(NETWORK, OWNER);
  host.asked.length = 0;
  await assert.rejects(client.networks.broadcast(NETWORK, raw, approved), stops(0n));
  assert.equal(host.count(BROADCAST), 0);
  await assert.rejects(client.proposeTransaction(meant), stops(0n));
  await assert.rejects(client.takeNonce(approved), stops(0n));
  assert.equal(standing(await client.outgoing()), "0 mined?");
  const again = { ...REQUEST, beside: await client.outgoing() };
  host.onBroadcast = (item) => ({ json: item });
  await pay(client, again);
  assert.equal(standing(await client.outgoing()), "0 mined, 1 waiting");
});

test("acceptance of one whose very nonce is used changes nothing: it takes its place, and stays known", async () => {
  const { host, client } = await refused();
  const [unsent] = await client.outgoing();
  assert.ok(unsent);
  const shown = await client.proposeTransaction({ ...REQUEST, value: 6n, beside: [unsent] });
  assert.deepEqual(nonces(shown.instead), [0n]);
  host.onBroadcast = (item) => ({ json: item });
  await pay(client, shown.request);
  assert.equal(standing(await client.outgoing()), "0 unsent?, 0 waiting");
});

test("what another tab has signed with the same nonce meanwhile is seen before anything is sent", async () => {
  for (const request of [REQUEST, { ...REQUEST, value: 6n }, { ...REQUEST, to: OWNER, value: 0n }]) {
    const [host, store] = [new Host(), new MemoryStore()];
    const [here, there] = [await clientAt(host, store), await clientAt(host, store)];
    const approved = await here.takeNonce(await here.proposeTransaction(request));
    const raw = await signed(approved);
    const { hash } = await pay(there, { ...REQUEST, value: 7n });
    const sent = () => here.networks.broadcast(NETWORK, raw, approved);
    await assert.rejects(sent(), code("nonce_taken"));
    say(host, hash, "dropped");
    await there.networks.transactions(NETWORK, OWNER);
    await assert.rejects(sent(), code("nonce_taken"), "it was not said that this takes its place");
    assert.equal(host.count(BROADCAST), 1);
    await here.networks.broadcast(NETWORK, raw, { ...approved, instead: await here.outgoing() });
    assert.equal(standing(await here.outgoing()), "0 unsent?, 0 waiting");
    // Nobody knows what was shown of what was not prepared here; but a nonce in a block is used up.
    say(host, hash, "mined");
    await there.networks.transactions(NETWORK, OWNER);
    const other = await signed(await (await clientAt(new Host())).proposeTransaction({ ...REQUEST, value: 8n }));
    await assert.rejects(here.networks.broadcast(NETWORK, other), code("nonce_taken"));
  }
});

test("whoever waits and does not see what comes back is asked before the same is paid again", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "mined");
  const still = () => true;
  assert.equal((await client.networks.settled(NETWORK, hash, still, () => false)).status, "mined");
  assert.equal(standing(await client.outgoing()), "0 mined~");
  host.nonce = 1;
  await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
});

test("what another tab had carried out since it was approved stops the same, and nothing else", async () => {
  const [host, store] = [new Host(), new MemoryStore()];
  const [here, there] = [await clientAt(host, store), await clientAt(host, store)];
  host.nonce = 1;
  const shown = await here.proposeTransaction(REQUEST);
  const approved = await here.takeNonce(shown);
  const raw = await signed(approved);
  host.nonce = 0;
  const { hash } = await pay(there);
  say(host, hash, "mined");
  await there.networks.settled(NETWORK, hash);
  host.asked.length = 0;
  await assert.rejects(here.networks.broadcast(NETWORK, raw, approved), stops(0n));
  assert.equal(host.count(BROADCAST), 0);
  host.nonce = 1;
  await assert.rejects(here.takeNonce(shown), stops(0n));
  assert.equal(standing(await here.outgoing()), "0 mined", "they read that it was");
  const other = await here.takeNonce({ ...shown, ...(await here.proposeTransaction({ ...REQUEST, value: 6n })) });
  await here.networks.broadcast(NETWORK, await signed(other), other);
  // Whoever was shown that it was may go on.
  host.nonce = 2;
  const again = await here.proposeTransaction(REQUEST);
  assert.deepEqual(nonces(again.again), [0n]);
  const meant = await here.takeNonce(again);
  await here.networks.broadcast(NETWORK, await signed(meant), meant);
});

test("the same from another account of the wallet, or on another network, is asked for and told of", async () => {
  for (const elsewhere of [{ account: 1 }, { network: "eip155:1" }]) {
    const host = new Host();
    const client = await clientAt(host);
    const paid = { ...REQUEST, ...elsewhere };
    const prepared = await client.prepareTransaction(paid);
    const { hash } = await client.networks.broadcast(paid.network, await signed(prepared), prepared);
    const one = `GET /v1/tx/${paid.network}/${hash}`;
    const { beside, repeated } = await client.proposeTransaction(REQUEST);
    assert.deepEqual([nonces(beside), nonces(repeated), host.count(one)], [[0n], [0n], 1]);
    // Nothing else is.
    assert.deepEqual(nonces((await client.proposeTransaction({ ...REQUEST, value: 6n })).beside), []);
    assert.deepEqual([host.count(LIST), host.count(one)], [0, 1]);
    // It stays as it is where nobody answers.
    host.onLook = () => undefined;
    assert.deepEqual(nonces((await client.proposeTransaction(REQUEST)).repeated), [0n]);
    host.onLook = undefined;
    const item = host.known.get(hash) ?? {};
    const shown = await client.proposeTransaction(REQUEST);
    host.known.delete(hash);
    await assert.rejects(client.takeNonce(shown), stops(0n));
    await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
    host.known.set(hash, { ...item, status: "mined" });
    await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
    await client.proposeTransaction({ ...REQUEST, value: 6n });
    const meant = { ...REQUEST, beside: await client.outgoing() };
    await pay(client, meant);
    assert.equal(standing(await client.outgoing()), "0 mined, 0 waiting");
  }
});

test("what happened elsewhere between nonce and sending is seen as well, and what somebody else's wallet did is not", async () => {
  const [host, store] = [new Host(), new MemoryStore()];
  const [here, there] = [await clientAt(host, store), await clientAt(host, store)];
  const approved = await here.takeNonce(await here.proposeTransaction(REQUEST));
  await pay(there, { ...REQUEST, account: 1 });
  await assert.rejects(here.networks.broadcast(NETWORK, await signed(approved), approved), stops(0n));
  const addresses = new Map([["m/44'/60'/0'/0/0", OWNER]]);
  await here.vault.update((profile) => ({
    ...profile,
    wallets: new Map(profile.wallets).set("a@b", { wallet: new Uint8Array(32), addresses }),
  }));
  await here.networks.broadcast(NETWORK, await signed(approved), approved);
  assert.equal(standing(await here.outgoing()), "0 waiting?, 0 waiting");
});

test("no more than sixteen are asked for elsewhere", async () => {
  const host = new Host();
  const client = await clientAt(host);
  const prepared = [];
  for (host.nonce = 0; host.nonce < 18; host.nonce += 1) {
    prepared.push(await client.prepareTransaction({ ...REQUEST, account: 1 }));
  }
  for (const one of prepared) await client.networks.broadcast(NETWORK, await signed(one));
  host.asked.length = 0;
  assert.equal((await client.proposeTransaction(REQUEST)).repeated.length, 18);
  assert.equal(host.asked.filter((asked) => asked.startsWith(`GET /v1/tx/${NETWORK}`)).length, 16);
});

test("a nonce that was used up is free again where the chain was set back", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "final");
  await client.networks.settled(NETWORK, hash);
  await assert.rejects(client.proposeTransaction(REQUEST), code("transaction_unreasonable"));
  assert.equal(standing(await client.outgoing()), "0 final");
  host.onLook = () => undefined;
  await assert.rejects(client.proposeTransaction(REQUEST), code("transport"));
  host.onLook = undefined;
  host.known.clear();
  const shown = await client.proposeTransaction({ ...REQUEST, value: 6n });
  assert.deepEqual(nonces(shown.instead), [0n]);
  assert.equal(standing(await client.outgoing()), "0 unsent");
  // Who would pay beside it is told.
  host.nonce = 1;
  await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
});
