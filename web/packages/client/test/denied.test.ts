/** What a client learns of its payments from what a host shows of them later, and what it keeps in doubt. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Client, MemoryStore } from "../src/index.js";
import { clientAt, Host, NETWORK, OWNER, refusal, SECOND, standing } from "./host.js";
import { code, LIST, nonces, pay, REQUEST, say, stops, TO, taken } from "./paying.js";

test("what nobody was told of is forgotten with the next answer", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "dropped");
  assert.deepEqual(nonces((await client.proposeTransaction(REQUEST)).instead), [0n]);
  say(host, hash, "pending");
  host.nonce = 1;
  const next = await client.proposeTransaction(REQUEST);
  assert.deepEqual([nonces(next.beside), nonces(next.repeated)], [[0n], [0n]]);
  assert.deepEqual(nonces((await client.proposeTransaction({ ...REQUEST, value: 6n })).repeated), []);
});

test("whoever is shown that it is gone, or a list without it, may believe that it failed", async () => {
  for (const show of [
    ({ host, client, hash }: Awaited<ReturnType<typeof taken>>) => {
      say(host, hash, "dropped");
      return client.networks.transactions(NETWORK, OWNER.toLowerCase());
    },
    ({ host, client, hash }: Awaited<ReturnType<typeof taken>>) => {
      say(host, hash, "failed");
      return client.networks.transaction(NETWORK, hash);
    },
    ({ host, client }: Awaited<ReturnType<typeof taken>>) => {
      host.onList = () => ({ json: { items: [] } });
      return client.networks.transactions(NETWORK, OWNER);
    },
    ({ host, client, hash }: Awaited<ReturnType<typeof taken>>) => {
      host.known.clear();
      return assert.rejects(client.networks.settled(NETWORK, hash), code("transaction_unknown"));
    },
  ]) {
    const all = await taken();
    const item = all.host.known.get(all.hash) ?? {};
    await show(all);
    assert.match(standing(await all.client.outgoing()), /^0 (unsent|waiting|reverted)\?$/);
    // What it says now takes nothing back.
    all.host.known.set(all.hash, { ...item, status: "pending" });
    all.host.nonce = 1;
    await assert.rejects(all.client.proposeTransaction(REQUEST), stops(0n));
  }
});

test("a page that goes on leaves out nothing, and one that others follow neither", async () => {
  const { host, client, hash } = await taken();
  const row = { ...host.known.get(hash), hash: `0x${"00".repeat(32)}` };
  host.onList = () => ({ json: { items: [row], next_cursor: "more" } });
  await client.networks.transactions(NETWORK, OWNER, { limit: 1 });
  host.onList = () => ({ json: { items: [] } });
  await client.networks.transactions(NETWORK, OWNER, { cursor: "more" });
  assert.equal(standing(await client.outgoing()), "0 waiting");
  // One that is not full is followed by none, whatever it says.
  host.onList = () => ({ json: { items: [row], next_cursor: "more" } });
  await client.networks.transactions(NETWORK, OWNER, { limit: 2 });
  assert.equal(standing(await client.outgoing()), "0 waiting?");
});

test("a list says what should be in it, and is not", async () => {
  const { host, client, hash } = await taken();
  assert.deepEqual((await client.networks.transactions(NETWORK, OWNER)).unlisted, []);
  host.onList = () => ({ json: { items: [] } });
  const { unlisted } = await client.networks.transactions(NETWORK, OWNER);
  assert.deepEqual(
    unlisted.map((entry) => entry.hash),
    [hash],
  );
  assert.deepEqual((await client.networks.transactions(NETWORK, SECOND)).unlisted, []);
  assert.deepEqual((await client.networks.transactions(NETWORK, OWNER, { cursor: "more" })).unlisted, []);
});

test("what another account sent, or was sent on another network, is no list of this one", async () => {
  for (const part of [{ from: SECOND }, { network: "eip155:1" }]) {
    const { host, client, hash } = await taken();
    const row = { ...host.known.get(hash), hash: `0x${"00".repeat(32)}`, ...part };
    host.nonce = 1;
    host.onList = () => ({ json: { items: [row] } });
    await assert.rejects(client.networks.transactions(NETWORK, OWNER), code("answer_malformed"));
    await assert.rejects(client.proposeTransaction(REQUEST), code("answer_malformed"));
  }
});

test("what a later one is said to wait for is denied, where somebody is told", async () => {
  for (const [ask, wanted] of [
    [(client: Client) => client.proposeTransaction({ ...REQUEST, value: 7n }), "0 waiting, 1 waiting"],
    [(client: Client) => client.networks.transactions(NETWORK, OWNER), "0 waiting?, 1 waiting"],
    [(client: Client, later: string) => client.networks.transaction(NETWORK, later), "0 waiting?, 1 waiting"],
  ] as const) {
    const { host, client } = await taken();
    host.nonce = 1;
    const { hash: later } = await pay(client, { ...REQUEST, value: 6n });
    host.known.set(later, { ...host.known.get(later), waits_for: { nonce: 0 } });
    host.nonce = 2;
    await ask(client, later);
    assert.equal(standing(await client.outgoing()), wanted);
  }
});

test("whoever waited for it knows of it when it is in a block", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "dropped");
  await client.networks.settled(NETWORK, hash);
  assert.equal(standing(await client.outgoing()), "0 unsent?");
  say(host, hash, "mined");
  await client.networks.transaction(NETWORK, hash);
  assert.equal(standing(await client.outgoing()), "0 mined?");
  await client.networks.settled(NETWORK, hash);
  assert.equal(standing(await client.outgoing()), "0 mined");
});

test("whoever waits no more knows nothing of what comes back", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "dropped");
  await client.networks.transaction(NETWORK, hash);
  say(host, hash, "mined");
  await client.networks.settled(NETWORK, hash, () => false);
  assert.equal(standing(await client.outgoing()), "0 mined?");
  // Nor is it asked for any longer.
  const other = await taken();
  other.host.asked.length = 0;
  await other.client.networks.settled(NETWORK, other.hash, () => false);
  assert.equal(other.host.asked.length, 1);
});

test("what was learnt meanwhile is newer than the answer to an earlier question", async () => {
  const [host, store] = [new Host(), new MemoryStore()];
  const [client, other] = [await clientAt(host, store), await clientAt(host, store)];
  const { hash } = await pay(client);
  const [item] = host.known.values();
  host.onList = async () => {
    say(host, hash, "mined");
    await other.networks.settled(NETWORK, hash);
    return { json: { items: [{ ...item, status: "dropped" }] } };
  };
  await client.networks.transactions(NETWORK, OWNER);
  // Its owner was shown the denial all the same.
  assert.equal(standing(await client.outgoing()), "0 mined?");
});

test("one that the list leaves out is asked for", async () => {
  const { host, client, hash } = await taken();
  host.nonce = 1;
  host.onList = () => ({ json: { items: [] } });
  assert.deepEqual(nonces((await client.proposeTransaction(REQUEST)).beside), [0n]);
  host.known.clear();
  await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
  assert.equal(host.count(`GET /v1/tx/${NETWORK}/${hash}`), 2);
});

test("one that is in a block is not asked for where the list leaves it out", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "mined");
  await client.networks.settled(NETWORK, hash);
  host.nonce = 1;
  host.onList = () => ({ json: { items: [] } });
  host.known.clear();
  await client.proposeTransaction(REQUEST);
  assert.equal(standing(await client.outgoing()), "0 mined");
});

test("no more than sixteen are asked for one by one; of the others nothing is learnt", async () => {
  const host = new Host();
  const client = await clientAt(host);
  for (host.nonce = 0; host.nonce < 18; host.nonce += 1) await pay(client, { ...REQUEST, value: BigInt(host.nonce) });
  host.onList = () => ({ json: { items: [] } });
  host.known.clear();
  host.asked.length = 0;
  const newest = Array.from({ length: 16 }, (_, at) => BigInt(at + 2));
  await assert.rejects(client.proposeTransaction(REQUEST), stops(...newest));
  assert.equal(host.asked.filter((asked) => asked.startsWith(`GET /v1/tx/${NETWORK}`)).length, 16);
});

const FALSE = [
  { to: SECOND },
  { to: undefined },
  { value: "6" },
  { nonce: 1 },
  { from: SECOND },
  { network: "eip155:1" },
] as const;

test("a row about anything but what was signed is not believed, and leaves that in doubt", async () => {
  for (const part of FALSE) {
    for (const ask of [
      (client: Client) => client.networks.transactions(NETWORK, OWNER),
      (client: Client) => client.proposeTransaction(REQUEST),
    ]) {
      const { host, client, hash } = await taken();
      const false_ = { ...host.known.get(hash), ...part, status: "mined" };
      host.nonce = 1;
      host.onList = () => ({ json: { items: [false_] } });
      await assert.rejects(ask(client), code("answer_malformed"));
      assert.equal(standing(await client.outgoing()), "0 waiting?", JSON.stringify(part));
    }
  }
});

test("nothing is learnt from a list in which one row is false, and spelling makes none so", async () => {
  const { host, client, hash } = await taken();
  const item = host.known.get(hash);
  host.nonce = 1;
  const other = await pay(client, { ...REQUEST, value: 6n });
  host.onList = () => ({
    json: {
      items: [
        { ...other, value: "7" },
        { ...item, status: "final" },
      ],
    },
  });
  await assert.rejects(client.networks.transactions(NETWORK, OWNER), code("answer_malformed"));
  assert.equal(standing(await client.outgoing()), "0 waiting, 1 waiting?");
  const upper = (text: unknown) => `0x${String(text).slice(2).toUpperCase()}`;
  const spelt = { ...item, to: upper(TO), from: upper(OWNER), hash: upper(hash), status: "final" };
  host.onList = () => ({ json: { items: [{ ...other, value: "6" }, spelt] } });
  await client.networks.transactions(NETWORK, OWNER);
  assert.equal(standing(await client.outgoing()), "0 final, 1 waiting?");
});

test("an answer about anything but what was signed, or about another one, leaves that in doubt", async () => {
  for (const part of [...FALSE, { hash: `0x${"00".repeat(32)}` }]) {
    for (const ask of [
      (client: Client, hash: string) => client.networks.transaction(NETWORK, hash),
      (client: Client, hash: string) => client.networks.settled(NETWORK, hash),
      (client: Client) => client.proposeTransaction(REQUEST),
    ]) {
      const { host, client, hash } = await taken();
      host.nonce = 1;
      host.known.set(hash, { ...host.known.get(hash), ...part, status: "mined" });
      host.onList = () => ({ json: { items: [] } });
      await assert.rejects(ask(client, hash), code("answer_malformed"));
      assert.equal(standing(await client.outgoing()), "0 waiting?", JSON.stringify(part));
    }
  }
});

test("a list that shows an older one and not a newer one leaves that out, however it goes on", async () => {
  const { host, client, hash } = await taken();
  const older = host.known.get(hash);
  host.nonce = 1;
  const { hash: newer } = await pay(client, { ...REQUEST, value: 6n });
  const list = (items: unknown[], page = {}) => {
    host.onList = () => ({ json: { items, next_cursor: "more" } });
    return client.networks.transactions(NETWORK, OWNER, { limit: 1, ...page });
  };
  await list([{ ...older, hash: `0x${"00".repeat(32)}`, nonce: 0 }]);
  await list([older], { cursor: "more" });
  await list([host.known.get(newer)]);
  assert.equal(standing(await client.outgoing()), "0 waiting, 1 waiting");
  await list([older]);
  assert.equal(standing(await client.outgoing()), "0 waiting, 1 waiting?");
});

test("whoever is told of a denial, or misses it, while another tab learns something else doubts it all the same", async () => {
  const ways = {
    dropped: (client: Client) => client.networks.transactions(NETWORK, OWNER),
    missing: (client: Client) => client.networks.transactions(NETWORK, OWNER),
    failed: (client: Client, hash: string) => client.networks.settled(NETWORK, hash),
    pending: (client: Client) => client.networks.transactions(NETWORK, OWNER),
  };
  for (const [status, ask] of Object.entries(ways)) {
    const [host, store] = [new Host(), new MemoryStore()];
    const [here, there] = [await clientAt(host, store), await clientAt(host, store)];
    const { hash } = await pay(here);
    const item = host.known.get(hash) ?? {};
    const honest = host.onList;
    const meanwhile = async (json: Record<string, unknown>) => {
      host.onList = honest;
      host.onLook = undefined;
      say(host, hash, "mined");
      await there.networks.transactions(NETWORK, OWNER);
      return { json };
    };
    const told = { ...item, status };
    host.onList = () => meanwhile({ items: status === "missing" ? [] : [told] });
    host.onLook = () => meanwhile(told);
    await ask(here, hash);
    // Whoever waits hears the newer word as well: what came of it in the end.
    const wanted = { dropped: "0 mined?", missing: "0 mined?", failed: "0 mined", pending: "0 mined" }[status];
    assert.equal(standing(await here.outgoing()), wanted, status);
  }
});

test("whoever waited and left is told of it before the same is paid again, and of nothing before something else is", async () => {
  const { host, client, hash } = await taken();
  const stays = [true, true];
  await client.networks.settled(NETWORK, hash.toUpperCase().replace("0X", "0x"), () => stays.pop() ?? false);
  assert.equal(standing(await client.outgoing()), "0 waiting~");
  host.nonce = 1;
  assert.deepEqual(nonces((await client.proposeTransaction(REQUEST)).repeated), [0n]);
  say(host, hash, "mined");
  await client.proposeTransaction({ ...REQUEST, value: 6n });
  await assert.rejects(client.proposeTransaction(REQUEST), stops(0n));
  // They have read that it was carried out.
  assert.equal(standing(await client.outgoing()), "0 mined~");
  await client.proposeTransaction({ ...REQUEST, value: 6n });
});

test("whoever waited until it was in a block pays the same again unasked", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "mined");
  await client.networks.settled(NETWORK, hash);
  assert.equal(standing(await client.outgoing()), "0 mined");
  host.nonce = 1;
  const { beside, again } = await client.proposeTransaction(REQUEST);
  assert.deepEqual([nonces(beside), nonces(again)], [[], [0n]]);
  say(host, hash, "final");
  await client.networks.settled(NETWORK, hash);
  host.asked.length = 0;
  await client.proposeTransaction(REQUEST);
  assert.equal(host.count(LIST), 0, "of what is final, as its owner knows, a host has no more to say");
});

test("what another tab learns while somebody waits is asked for once more, so that they know it", async () => {
  const [host, store] = [new Host(), new MemoryStore()];
  const [here, there] = [await clientAt(host, store), await clientAt(host, store)];
  const { hash } = await pay(here);
  say(host, hash, "mined");
  host.onLook = async () => {
    host.onLook = undefined;
    await there.networks.transactions(NETWORK, OWNER);
    return { json: host.known.get(hash) ?? {} };
  };
  assert.equal((await here.networks.settled(NETWORK, hash)).status, "mined");
  assert.equal(standing(await here.outgoing()), "0 mined");
});

test("whoever waits and is told that nothing can be told doubts it; whoever has left does not", async () => {
  for (const [look, left, stays] of [
    // What passes says nothing of it.
    [() => undefined, "0 waiting~", "0 waiting~"],
    [() => refusal(503, "overloaded", true), "0 waiting~", "0 waiting~"],
    [() => refusal(403, "policy_denied"), "0 waiting~", "0 waiting?"],
    // An answer about nothing is none for anybody.
    [() => ({ json: {} }), "0 waiting?", "0 waiting?"],
  ] as const) {
    const { host, client, hash } = await taken();
    host.onLook = look;
    await assert.rejects(client.networks.settled(NETWORK, hash, () => false));
    assert.equal(standing(await client.outgoing()), left);
    await assert.rejects(client.networks.settled(NETWORK, hash));
    assert.equal(standing(await client.outgoing()), stays);
  }
});

test("a failure that passes ends no wait", async () => {
  const { host, client, hash } = await taken();
  const item = host.known.get(hash) ?? {};
  const answers = [undefined, refusal(503, "overloaded", true), { json: { ...item, status: "mined" } }];
  host.onLook = () => answers.shift();
  assert.equal((await client.networks.settled(NETWORK, hash)).status, "mined");
  assert.equal(standing(await client.outgoing()), "0 mined");
});

test("whoever waits and does not see it now may read later that it is gone, or that nothing is known of it", async () => {
  const gone = ["dropped", "replaced", "failed"].map((status) => (item: object) => ({ json: { ...item, status } }));
  for (const look of [...gone, () => refusal(404, "transaction_unknown"), () => refusal(403, "policy_denied")]) {
    const { host, client, hash } = await taken();
    const item = host.known.get(hash) ?? {};
    host.onLook = () => look(item);
    const still = () => true;
    await client.networks.settled(NETWORK, hash, still, () => false).catch(() => undefined);
    assert.match(standing(await client.outgoing()), /^0 (unsent|reverted|waiting)\?$/);
    host.onLook = undefined;
    host.nonce = 1;
    await assert.rejects(client.proposeTransaction({ ...REQUEST, value: 6n }), stops(0n));
  }
});

test("what a later one is said to wait for is denied, too, where nobody sees it now", async () => {
  const { host, client } = await taken();
  host.nonce = 1;
  const { hash: later } = await pay(client, { ...REQUEST, value: 6n });
  host.known.set(later, { ...host.known.get(later), waits_for: { nonce: 0 } });
  const stays = [true, true];
  await client.networks.settled(
    NETWORK,
    later,
    () => stays.pop() ?? false,
    () => false,
  );
  assert.equal(standing(await client.outgoing()), "0 waiting?, 1 waiting~");
});

test("one that is doubted, and was in a block, is asked for where no list has it", async () => {
  const { host, client, hash } = await taken();
  say(host, hash, "final");
  await client.networks.settled(NETWORK, hash);
  // The chain was set back, or the host restored: it knows of none.
  host.known.clear();
  await client.networks.transactions(NETWORK, OWNER);
  assert.equal(standing(await client.outgoing()), "0 final?");
  host.nonce = 1;
  await assert.rejects(client.proposeTransaction({ ...REQUEST, value: 6n }), stops(0n));
  assert.equal(standing(await client.outgoing()), "0 unsent?");
});
