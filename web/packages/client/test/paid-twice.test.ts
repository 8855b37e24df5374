/** A host that would have a payment made twice: it says that it did not send one, names the next nonce, and carries out both. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ApiError,
  type Client,
  MemoryStore,
  type Outgoing,
  type PreparedTransaction,
  ProfileError,
  type ProfileStore,
  parseUnsigned,
  SendError,
  type TransactionRequest,
  toHex,
} from "../src/index.js";
import { clientAt, Host, NETWORK, NOW, OWNER, refusal, SECOND, signed, standing } from "./host.js";

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
