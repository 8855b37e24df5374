/** A host that a test makes say what it likes about transactions, and a client of it with a wallet of two accounts. */

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
  parseSigned,
  system,
  toHex,
} from "../src/index.js";
import type { Json } from "./device.js";

const KEYS = [`0x${"17".repeat(32)}`, `0x${"18".repeat(32)}`] as const;
const policy = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });

export const NETWORK = "eip155:31337";
export const NOW = 1_800_000_000;
/** Addresses of the accounts 0 and 1. */
export const [OWNER, SECOND] = [privateKeyToAccount(KEYS[0]).address, privateKeyToAccount(KEYS[1]).address];

/** What it answers; `undefined` breaks the connection. */
export type Told = { readonly status?: number; readonly json: Json } | undefined;

export function refusal(status: number, code: string, retryable = false): Told {
  return { status, json: { code, title: code, retryable, trace_id: "t" } };
}

/** One that is honest unless told otherwise: it takes everything, mines nothing, and frees no nonce. */
export class Host {
  /** The nonce that it names. */
  nonce = 0;
  /** Transactions that it admits to, by hash. */
  readonly known = new Map<string, Json>();
  /** Of what it was asked: method and path, without the query. */
  readonly asked: string[] = [];
  onBroadcast: (item: Json) => Told | Promise<Told> = (item) => {
    this.known.set(String(item.hash), item);
    return { json: item };
  };
  /** Where it says of each the same. */
  onLook: (() => Told | Promise<Told>) | undefined;
  onList: (asked: URLSearchParams) => Told | Promise<Told> = (asked) => {
    const isAsked = ({ network, from }: Json) => network === asked.get("network") && from === asked.get("address");
    return { json: { items: [...this.known.values()].filter(isAsked).reverse() } };
  };

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const { pathname, searchParams } = new URL(url);
    const path = decodeURIComponent(pathname);
    this.asked.push(`${init.method} ${path}`);
    const body = typeof init.body === "string" ? (JSON.parse(init.body) as Json) : {};
    const told = await this.#answer(path, searchParams, body);
    if (told === undefined) throw new TypeError("the connection was cut");
    return Response.json(told.json, { status: told.status ?? 200 });
  };

  /** How often it was asked this. */
  count(call: string): number {
    return this.asked.filter((asked) => asked === call).length;
  }

  #answer(path: string, query: URLSearchParams, body: Json): Told | Promise<Told> {
    if (path === "/v1/tx/prepare") {
      const fee = { max_fee_per_gas: "10", max_priority_fee_per_gas: "1" };
      const held = body.reserve === true ? { reservation_id: "r", expires_at: NOW + 60 } : {};
      const nonce = body.nonce ?? this.nonce;
      return {
        json: { network: body.network, nonce, gas_limit: 21_000, fees: { normal: fee, base_fee: "5" }, ...held },
      };
    }
    if (path === "/v1/tx/broadcast") return this.onBroadcast(itemOf(String(body.raw) as `0x${string}`));
    if (path === "/v1/tx/release") return { json: {} };
    if (path === "/v1/session/refresh") {
      const session = { access_token: "t2", access_expires_at: NOW + 600, refresh_token: "r2", session_id: "s" };
      return { json: { user_id: "u", login_status: "complete", ...session } };
    }
    if (path === "/v1/tx") return this.onList(query);
    if (this.onLook !== undefined) return this.onLook();
    const item = this.known.get(path.split("/").at(-1)?.toLowerCase() ?? "");
    return item === undefined ? refusal(404, "transaction_unknown") : { json: item };
  }
}

function itemOf(raw: `0x${string}`): Json {
  const { chainId, nonce = 0, to, value = 0n } = parseTransaction(raw);
  const { sender: from } = parseSigned(bytesOf(raw));
  return { network: `eip155:${chainId}`, hash: keccak256(raw), from, to, value: `${value}`, nonce, status: "pending" };
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(hex.slice(2));
  if (bytes === undefined) throw new Error("no bytes");
  return bytes;
}

/** A client of this host, logged in, whose accounts are {@link OWNER} and {@link SECOND}. */
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
  const addresses = new Map([OWNER, SECOND].map((address, index) => [`m/44'/60'/0'/0/${index}`, address]));
  const wallets = new Map([["a@b", { wallet, addresses }]]);
  await client.vault.update((profile) => ({ ...profile, session, wallets }));
  return client;
}

/** What the enclave would make of it. */
export async function signed({ intent }: PreparedTransaction): Promise<{ raw: Uint8Array<ArrayBuffer> }> {
  if (intent.kind !== "evmTransaction") throw new Error("no transaction");
  const unsigned = `0x${toHex(intent.unsigned)}` as const;
  const privateKey = KEYS[intent.account];
  if (privateKey === undefined) throw new Error("no such account");
  const signature = await sign({ hash: keccak256(unsigned), privateKey });
  return { raw: bytesOf(serializeTransaction(parseTransaction(unsigned), signature)) };
}

const KNOWN = { doubtful: "?", awaited: "~", told: "" } as const;

/** Each as it stands: its nonce, its state, and whether its owner doubts it or waits. */
export const standing = (entries: readonly Outgoing[]) =>
  entries.map(({ nonce, state, known }) => `${nonce} ${state}${KNOWN[known]}`).join(", ");
