/** A host that a test makes say what it likes about transactions, and a client of it with a wallet of one key. */

import { keccak256, parseTransaction, serializeTransaction } from "viem";
import { privateKeyToAccount, sign } from "viem/accounts";
import {
  Client,
  fromHex,
  MemoryStore,
  type Outgoing,
  Policy,
  type PreparedTransaction,
  type ProfileStore,
  system,
  toHex,
} from "../src/index.js";
import type { Json } from "./device.js";

const KEY = `0x${"17".repeat(32)}` as const;
const policy = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });

export const NETWORK = "eip155:31337";
export const NOW = 1_800_000_000;
export const OWNER = privateKeyToAccount(KEY).address;

/** What it answers; `undefined` breaks the connection. */
export type Told = { readonly status?: number; readonly json: Json } | undefined;

export function refusal(status: number, code: string): Told {
  return { status, json: { code, title: code, retryable: false, trace_id: "t" } };
}

/** One that is honest unless told otherwise: it takes everything, mines nothing, and frees no nonce. */
export class Host {
  /** The nonce that it names. */
  nonce = 0;
  /** Transactions that it admits to, by hash. */
  readonly known = new Map<string, Json>();
  /** Of what it was asked: method and path, without the query. */
  readonly asked: string[] = [];
  onBroadcast: (item: Json) => Told = (item) => {
    this.known.set(String(item.hash), item);
    return { json: item };
  };
  /** Where it says of each the same. */
  onLook: (() => Told) | undefined;
  onList: () => Told | Promise<Told> = () => ({ json: { items: [...this.known.values()].reverse() } });

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const path = decodeURIComponent(new URL(url).pathname);
    this.asked.push(`${init.method} ${path}`);
    const body = typeof init.body === "string" ? (JSON.parse(init.body) as Json) : {};
    const told = await this.#answer(path, body);
    if (told === undefined) throw new TypeError("the connection was cut");
    return Response.json(told.json, { status: told.status ?? 200 });
  };

  /** How often it was asked this. */
  count(call: string): number {
    return this.asked.filter((asked) => asked === call).length;
  }

  #answer(path: string, body: Json): Told | Promise<Told> {
    if (path === "/v1/tx/prepare") {
      const fee = { max_fee_per_gas: "10", max_priority_fee_per_gas: "1" };
      const held = body.reserve === true ? { reservation_id: "r", expires_at: NOW + 60 } : {};
      const nonce = body.nonce ?? this.nonce;
      return { json: { network: NETWORK, nonce, gas_limit: 21_000, fees: { normal: fee, base_fee: "5" }, ...held } };
    }
    if (path === "/v1/tx/broadcast") return this.onBroadcast(itemOf(String(body.raw) as `0x${string}`));
    if (path === "/v1/tx/release") return { json: {} };
    if (path === "/v1/tx") return this.onList();
    if (this.onLook !== undefined) return this.onLook();
    const item = this.known.get(path.split("/").at(-1) ?? "");
    return item === undefined ? refusal(404, "transaction_unknown") : { json: item };
  }
}

function itemOf(raw: `0x${string}`): Json {
  const { nonce = 0, to, value = 0n } = parseTransaction(raw);
  return { network: NETWORK, hash: keccak256(raw), from: OWNER, to, value: `${value}`, nonce, status: "pending" };
}

/** A client of this host, logged in, whose account 0 is {@link OWNER}. */
export async function clientAt(host: Host, store: ProfileStore = new MemoryStore()): Promise<Client> {
  const environment = { ...system, now: () => NOW, sleep: async () => undefined, fetch: host.fetch };
  const client = new Client({ server: "http://localhost:1", app: { id: "a", key: "k" }, policy, store, environment });
  const session = {
    user: "a@b",
    userId: "u",
    sessionId: "s",
    accessToken: "t",
    accessExpires: NOW + 600,
    refreshToken: "r",
  };
  const wallet = new Uint8Array(32);
  const wallets = new Map([["a@b", { wallet, addresses: new Map([["m/44'/60'/0'/0/0", OWNER]]) }]]);
  await client.vault.update((profile) => ({ ...profile, session, wallets }));
  return client;
}

/** What the enclave would make of it. */
export async function signed({ intent }: PreparedTransaction): Promise<{ raw: Uint8Array<ArrayBuffer> }> {
  if (intent.kind !== "evmTransaction") throw new Error("no transaction");
  const unsigned = `0x${toHex(intent.unsigned)}` as const;
  const signature = await sign({ hash: keccak256(unsigned), privateKey: KEY });
  const raw = fromHex(serializeTransaction(parseTransaction(unsigned), signature).slice(2));
  if (raw === undefined) throw new Error("no bytes");
  return { raw };
}

/** Each as it stands: its nonce, its state, and whether it is in doubt. */
export const standing = (entries: readonly Outgoing[]) =>
  entries.map(({ nonce, state, isInDoubt }) => `${nonce} ${state}${isInDoubt ? "?" : ""}`).join(", ");
