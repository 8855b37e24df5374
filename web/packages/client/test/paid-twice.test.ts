/** A host that would have a payment made twice: it says that it did not send one, names the next nonce, and carries out both. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Client,
  MemoryStore,
  type PreparedTransaction,
  ProfileError,
  type ProfileStore,
  SendError,
  type TransactionRequest,
} from "../src/index.js";
import { clientAt, Host, NETWORK, NOW, OWNER, refusal, signed, standing } from "./host.js";

const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const REQUEST: TransactionRequest = { network: NETWORK, account: 0, to: TO, value: 5n };
const BROADCAST = "POST /v1/tx/broadcast";
const LIST = "GET /v1/tx";

const code = (wanted: string) => (error: unknown) => (error as { code?: string }).code === wanted;

/** Refused for this: it names what was signed before, by nonces. */
const stops =
  (...nonces: bigint[]) =>
  (error: unknown) => {
    assert.ok(error instanceof SendError && error.code === "payment_unsettled", String(error));
    assert.deepEqual(
      error.unsettled.map(({ nonce }) => nonce),
      nonces,
    );
    return true;
  };

const nonces = (of: PreparedTransaction["beside"]) => of.map(({ nonce }) => nonce);

/** Approves and sends; what the host said to that. */
async function pay(client: Client, request = REQUEST) {
  const taken = await client.takeNonce(await client.proposeTransaction(request));
  return client.networks.broadcast(NETWORK, await signed(taken), taken);
}

/** What the host says of it from now on. */
function say(host: Host, hash: string, status: string): void {
  host.known.set(hash, { ...host.known.get(hash), status });
}

/** A host that says that it refused the payment with nonce 0, and keeps it. */
async function refused(): Promise<{ host: Host; client: Client }> {
  const host = new Host();
  const client = await clientAt(host);
  host.onBroadcast = () => refusal(422, "transaction_rejected");
  await assert.rejects(pay(client), code("transaction_rejected"));
  return { host, client };
}

/** A host that took the payment with nonce 0. */
async function taken(): Promise<{ host: Host; client: Client; hash: string }> {
  const host = new Host();
  const client = await clientAt(host);
  const { hash } = await pay(client);
  return { host, client, hash };
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
  await assert.rejects(client.networks.broadcast(NETWORK, raw, approved), code("transport"));
  say(host, hash, "dropped");
  await client.networks.transaction(NETWORK, hash);
  host.onBroadcast = (item) => ({ json: item });
  await client.networks.broadcast(NETWORK, raw);
  assert.equal(standing(await client.outgoing()), "0 unsent?, 1 waiting");
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
    await client.forgetOutgoing([hash]);
    assert.equal(standing(await client.outgoing()), "0 final");
    host.asked.length = 0;
    assert.deepEqual(nonces((await client.proposeTransaction(REQUEST)).beside), []);
    assert.equal(host.count(LIST), 0, "of what is final a host has no more to say");
  }
});

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
  const { host, client } = await taken();
  host.onList = () => ({ json: { items: [], next_cursor: "more" } });
  await client.networks.transactions(NETWORK, OWNER);
  host.onList = () => ({ json: { items: [] } });
  await client.networks.transactions(NETWORK, OWNER, { cursor: "more" });
  assert.equal(standing(await client.outgoing()), "0 waiting");
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
  assert.equal(standing(await client.outgoing()), "0 mined");
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
  await client.proposeTransaction(REQUEST);
  assert.equal(host.count(LIST), 0);
});

test("an answer that does not come, or is none, leaves it in doubt", async () => {
  for (const [onBroadcast, wanted] of [
    [() => undefined, "transport"],
    [() => ({ json: {} }), "answer_malformed"],
    [(item: object) => ({ json: { ...item, hash: `0x${"00".repeat(32)}` } }), "answer_malformed"],
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
  await assert.rejects(client.proposeTransaction(REQUEST), code("payments_unsettled_max"));
  const sent = client.networks.broadcast(NETWORK, await signed(approved), approved);
  await assert.rejects(sent, code("payments_unsettled_max"));
  assert.equal(host.count(BROADCAST), 0);
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
  await client.proposeTransaction(nothing);
  host.onBroadcast = (item) => ({ json: item });
  assert.equal((await pay(client, nothing)).nonce, 1);
  await assert.rejects(client.proposeTransaction({ ...nothing, value: 1n }), stops(0n));
  await assert.rejects(client.proposeTransaction({ ...nothing, to: TO }), stops(0n));
  const call = { ...nothing, data: Uint8Array.of(1), gasLimitMax: 30_000 };
  await assert.rejects(client.proposeTransaction(call), stops(0n));
});

test("what is no transaction of this network is neither kept nor sent", async () => {
  const host = new Host();
  const client = await clientAt(host);
  const { raw } = await signed(await client.proposeTransaction(REQUEST));
  await assert.rejects(client.networks.broadcast("eip155:1", { raw }), RangeError);
  await assert.rejects(client.networks.broadcast(NETWORK, { raw: raw.slice(1) }), code("transaction_malformed"));
  assert.deepEqual([await client.outgoing(), host.count(BROADCAST)], [[], 0]);
});

test("whoever has looked elsewhere goes on", async () => {
  const { host, client } = await refused();
  host.nonce = 1;
  const stopped = await client.proposeTransaction(REQUEST).catch((error: unknown) => error);
  assert.ok(stopped instanceof SendError);
  await client.forgetOutgoing(stopped.unsettled.map(({ hash }) => hash));
  assert.deepEqual(await client.outgoing(), []);
  const gone = await client.takeNonce(await client.proposeTransaction(REQUEST));
  assert.deepEqual([gone.transaction.nonce, gone.beside, gone.instead], [1n, [], []]);
});
