/** Calls about networks, balances and transactions: the host's word, nothing of it trusted. */

import { type Bytes, toHex } from "../bytes.js";
import type { Ledger } from "../ledger.js";
import { isOf, type Status, type Unsent } from "../outgoing.js";
import type { PreparedTransaction } from "../send.js";
import { keepSigned } from "../unsettled.js";
import { ApiError } from "./error.js";
import type { Call } from "./exchange.js";
import {
  amount,
  anything,
  boolean,
  list,
  natural,
  network,
  nothing,
  object,
  oneOf,
  optional,
  type Read,
  string,
} from "./json.js";
import type { Sessions } from "./session.js";
import {
  type Asked,
  askTransaction,
  askTransactions,
  demand,
  misreported,
  type Paging,
  type TransactionInfo,
  type TransactionPage,
  transaction,
} from "./transactions.js";

const networkInfo = object({
  /** CAIP-2 id. */
  caip2: network,
  name: string,
  symbol: string,
  decimals: natural,
  explorer: optional(string),
  testnet: optional(boolean),
  status: optional(string),
});
/**
 * A network that the deployment serves.
 *
 * @interface
 */
export type NetworkInfo = Read<typeof networkInfo>;

const fee = object({ max_fee_per_gas: amount, max_priority_fee_per_gas: amount, seconds_estimate: optional(natural) });
/**
 * Prices of EIP-1559, in the smallest unit for one gas.
 *
 * @interface
 */
export type Fee = Read<typeof fee>;

const fees = object({
  slow: optional(fee),
  normal: optional(fee),
  fast: optional(fee),
  /** Absent on networks without EIP-1559. */
  base_fee: optional(amount),
  legacy_gas_price: optional(amount),
});
/**
 * What gas costs now, by how soon it should be mined.
 *
 * @interface
 */
export type Fees = Read<typeof fees>;

const tokenBalance = object({
  contract: string,
  amount: optional(amount),
  symbol: optional(string),
  decimals: optional(natural),
  /**
   * There is no contract at this address, or none that answers as ERC-20 asks; or no node answered about it. Absent where there is an amount,
   * and there alone.
   */
  problem: optional(oneOf("not_a_token", "unavailable")),
});
const balances = object({
  network: string,
  address: string,
  native: object({ amount, symbol: string, decimals: natural }),
  tokens: optional(list(tokenBalance)),
});
/**
 * What an address holds, in the smallest units, in the order asked for. The node's word.
 *
 * @interface
 */
export type Balances = Read<typeof balances>;

const prepared = object({
  network: string,
  nonce: natural,
  gas_limit: natural,
  fees,
  balance: optional(amount),
  /** Absent where the nonce is held for nobody. */
  reservation_id: optional(string),
  expires_at: optional(natural),
});
/**
 * What the server proposes for a transaction; the nonce is kept under `reservation_id` until `expires_at`.
 *
 * @interface
 */
export type Prepared = Read<typeof prepared>;

/** A transfer or call as it is asked for; addresses in any spelling of EIP-55, `data` in 0x hex. */
export interface Preparation {
  readonly network: string;
  readonly from: string;
  /** Absent where `data` makes a new contract. */
  readonly to?: string;
  readonly value: bigint;
  readonly data?: string;
  readonly nonce?: number;
  /** Whether the nonce is held; true unless it is said. */
  readonly reserve?: boolean;
}

/** First wait between two looks at a transaction. */
const POLL_MILLISECONDS_MIN = 250;
/** Longest wait, about a third of a block of the slowest network of the registry. */
const POLL_MILLISECONDS_MAX = 4_000;
const LOOKS_MAX = 20;
/** How often a transaction is handed over where no clear answer comes. */
const SENDS_MAX = 3;
/** Looks for it after that. */
const SEARCHES_MAX = 5;

/**
 * Every method throws {@link ApiError}; those that hear what became of transactions write it into the profile, and throw {@link ProfileError}
 * where that fails.
 */
export class Networks {
  readonly #sessions: Sessions;
  readonly #ledger: Ledger;

  constructor(sessions: Sessions, ledger: Ledger) {
    this.#sessions = sessions;
    this.#ledger = ledger;
  }

  /** The registry. */
  async list(): Promise<NetworkInfo[]> {
    const call: Call = { method: "GET", path: ["v1", "networks"] };
    return (await this.#sessions.exchange.call(call, { kind: "app" }, object({ items: list(networkInfo) }))).items;
  }

  /** Fees of a network. */
  fees(network: string): Promise<Fees> {
    return this.#sessions.exchange.call(
      { method: "GET", path: ["v1", "networks", network, "fees"] },
      { kind: "app" },
      fees,
    );
  }

  /** Native and token balances of an address. A token that cannot be read has a problem in place of an amount, and spoils no other. */
  async balances(network: string, address: string, tokens: readonly string[] = []): Promise<Balances> {
    const named = tokens.map((token) => ["token", token] as const);
    const query = [["network", network] as const, ["address", address] as const, ...named];
    const answer = await this.#sessions.authorized({ method: "GET", path: ["v1", "balances"], query }, balances);
    const shown = [answer.network, answer.address, ...(answer.tokens ?? []).map(({ contract }) => contract)];
    const isAsked = shown.join(" ").toLowerCase() === [network, address, ...tokens].join(" ").toLowerCase();
    if (!isAsked) throw ApiError.fault("answer_malformed", "the server gave balances of something else");
    const isToldOnce = (answer.tokens ?? []).every(
      ({ amount, problem }) => (amount === undefined) !== (problem === undefined),
    );
    if (!isToldOnce) throw ApiError.fault("answer_malformed", "a token has an amount or a problem, and one of them");
    return answer;
  }

  /** Nonce, gas and fees for a transaction; the nonce is reserved for a while, unless that is not wanted. */
  prepare({ network, from, to, value, data, nonce, reserve = true }: Preparation): Promise<Prepared> {
    const body = {
      network,
      from,
      ...(to !== undefined && { to }),
      value: value.toString(),
      ...(data !== undefined && { data }),
      ...(nonce !== undefined && { nonce }),
      reserve,
    };
    const key = toHex(this.#sessions.exchange.environment.random(16));
    return this.#sessions.creating({ method: "POST", path: ["v1", "tx", "prepare"], body }, key, prepared);
  }

  /** Calls a method of the network's nodes that only reads; what comes back is the node's word. */
  async call(network: string, method: string, params: readonly unknown[]): Promise<unknown> {
    const call: Call = { method: "POST", path: ["v1", "networks", network, "rpc"], body: { method, params } };
    return (await this.#sessions.authorized(call, object({ result: anything }))).result;
  }

  /**
   * Sends a signed transaction; its hash is the idempotency key, so that sending it twice sends it once. It is written into the profile before:
   * what a host says that it refused may be carried out all the same ({@link Client.outgoing}). `approved` is what was signed, if it was
   * prepared here. Throws {@link IntentError} for bytes that are no signed transaction, a `RangeError` for one of another network,
   * {@link SendError} (`payment_unsettled` and `nonce_taken`, where another tab has signed meanwhile; `payments_unsettled_max`) and
   * {@link ProfileError}: then the host never had it. After an {@link ApiError} it may be carried out: the host's refusal, where that was its first
   * answer, an answer about something else, or `outcome_unknown`.
   */
  async broadcast(
    network: string,
    { raw }: { readonly raw: Bytes },
    approved?: PreparedTransaction,
  ): Promise<TransactionInfo> {
    const entry = await keepSigned(
      this.#asked,
      { network, raw, now: this.#sessions.exchange.environment.now() },
      approved,
    );
    const answer = await this.#handOver(entry, raw);
    // It is sent, whether or not that can be written; what cannot stays in doubt, which stops too much rather than too little.
    await this.#ledger.answered(answer).catch(() => undefined);
    return answer;
  }

  /** The same bytes go out again while it is unclear what became of them, and then the transaction is looked for, all for the same user. Throws {@link ApiError}, or {@link ProfileError} where nothing has left. */
  async #handOver(entry: Unsent, raw: Bytes): Promise<TransactionInfo> {
    const { network, hash } = entry;
    const body = { network, raw: `0x${toHex(raw)}` };
    const send: Call = { method: "POST", path: ["v1", "tx", "broadcast"], body, idempotencyKey: hash.slice(2) };
    const search: Call = { method: "GET", path: ["v1", "tx", network, hash] };
    // What fails here fails before anything has left.
    const { user } = (await this.#sessions.valid()).session;
    let [wait, cause]: [number, unknown] = [POLL_MILLISECONDS_MIN, undefined];
    for (let tries = 0; tries < SENDS_MAX + SEARCHES_MAX; tries += 1) {
      if (tries > 0 && tries !== SENDS_MAX) {
        await this.#sessions.exchange.environment.sleep(wait);
        wait = Math.min(2 * wait, POLL_MILLISECONDS_MAX);
      }
      const asked = this.#sessions.authorized(tries < SENDS_MAX ? send : search, transaction, user);
      const answer = await asked.catch((error: unknown) => {
        // After the first even a refusal proves nothing: that one may still be under way. Nor does what is no answer to it.
        if (tries === 0 && isRefusal(error)) throw error;
        cause = error;
      });
      if (answer === undefined) continue;
      demand(answer, network, hash);
      if (!isOf(entry, answer)) throw misreported();
      return answer;
    }
    throw ApiError.fault("outcome_unknown", "it is not known whether the transaction was sent", { cause });
  }

  /** Gives the nonce back of a transaction that will not be sent. */
  release(reservationId: string): Promise<void> {
    return this.#sessions.authorized(releaseOf(reservationId), nothing);
  }

  /** {@link Networks.release}, made ready: what comes back can be called when the page goes away, which waits for nothing any more. */
  releaseOnLeave(reservationId: string): Promise<() => void> {
    return this.#sessions.onLeave(releaseOf(reservationId));
  }

  /** One transaction. Its owner is taken to have seen it. */
  async transaction(network: string, hash: string): Promise<TransactionInfo> {
    return (await askTransaction(this.#asked, network, hash, () => "shown")).found;
  }

  /**
   * The transaction once it is in a block, or will never be in one; as it is after about a minute otherwise, or once nobody waits for it any more.
   * Whoever waits and sees (`isSeen`) that it is in a block knows of it; until then they are asked before they have the same done again. Whoever
   * waits for it at all may read anything else later: that it is gone, that it failed, or that nothing is known, where this throws what is no passing
   * failure.
   */
  async settled(
    network: string,
    hash: string,
    isWaitedFor: () => boolean = () => true,
    isSeen = isWaitedFor,
  ): Promise<TransactionInfo> {
    await this.#ledger.awaited(hash);
    let wait = POLL_MILLISECONDS_MIN;
    for (let looks = 1; ; looks += 1) {
      const isLast = () => looks === LOOKS_MAX || !isWaitedFor();
      try {
        const learnt = (status: Status) => ((isCarriedOut(status) ? isSeen : isWaitedFor)() ? "followed" : "heard");
        const { found, isLate } = await askTransaction(this.#asked, network, hash, learnt);
        // What is told is what was learnt: else whoever is told it would be taken to know nothing of it.
        if ((found.status !== "pending" && !isLate) || isLast()) return found;
      } catch (error) {
        const isPassing = error instanceof ApiError && error.isRetryable;
        if (!isPassing && isWaitedFor()) await this.#ledger.doubt(hash);
        if (!isPassing || isLast()) throw error;
      }
      await this.#sessions.exchange.environment.sleep(wait);
      wait = Math.min(2 * wait, POLL_MILLISECONDS_MAX);
    }
  }

  /**
   * What this system sent from an address, newest first, and where the next page starts. Its owner is taken to have seen it, and to miss what
   * should be there.
   */
  transactions(network: string, address: string, page: Paging = {}): Promise<TransactionPage> {
    return askTransactions(this.#asked, network, address, "shown", page);
  }

  get #asked(): Asked {
    return { sessions: this.#sessions, ledger: this.#ledger };
  }
}

/** The host's own answer, and no other can come: a session that somebody else has ended or replaced meanwhile is none. */
function isRefusal(error: unknown): boolean {
  return error instanceof ApiError && !error.leavesOutcomeOpen && !OWN.has(error.code);
}

/** Codes of this client that a call may end with after it was sent. */
const OWN: ReadonlySet<string> = new Set(["not_logged_in", "user_changed"]);

/** Carried out, by the host's word. */
function isCarriedOut(status: Status): boolean {
  return status === "mined" || status === "final";
}

function releaseOf(reservationId: string): Call {
  return { method: "POST", path: ["v1", "tx", "release"], body: { reservation_id: reservationId } };
}
