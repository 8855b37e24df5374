/** The requests an app can make of a wallet: one typed table that both ends check against. */
import {
  boolean,
  type Check,
  type Checked,
  fits,
  type Json,
  json,
  list,
  oneOf,
  optional,
  record,
  text,
} from "./schema.js";

const LIST_MAX = 256;
const chain = text(80, /^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,64}$/);
const address = text(42, /^0x[0-9a-fA-F]{40}$/);
const quantity = text(66, /^0x(0|[1-9a-f][0-9a-f]*)$/);
const data = text(256 * 1024 + 2, /^0x([0-9a-fA-F]{2})*$/);
const hash = text(66, /^0x[0-9a-fA-F]{64}$/);
const decimal = text(100, /^(0|[1-9][0-9]*)(\.[0-9]+)?$/);
const languageTag = text(35, /^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/);
/** As the server keeps addresses: nothing that does not show, and nothing that a domain could be read in two ways by. */
const email = text(254, /^(?!.*@[^@]*%[^@]*$)[!-~]*$/);
const nothing = record({});
const done = oneOf("done");
const signature = text(132, /^0x[0-9a-f]{130}$/);
const status = oneOf("before_login", "login", "login_before_register");

const account = record({ address: text(128), network: chain, contract: optional(text(128)), isAA: optional(boolean) });
const session = record({
  status: oneOf("complete", "pinRequired", "registerRequired"),
  userId: text(64),
  email: optional(email),
  walletId: optional(text(64)),
});
const token = record({ contract: text(128), symbol: text(64), balance: decimal });
const balance = record({
  network: chain,
  address: text(128),
  symbol: text(64),
  balance: decimal,
  tokens: list(token, LIST_MAX),
});
const evmTransaction = record({
  from: address,
  to: optional(address),
  value: optional(quantity),
  data: optional(data),
  nonce: optional(quantity),
  gas: optional(quantity),
  gasPrice: optional(quantity),
  maxFeePerGas: optional(quantity),
  maxPriorityFeePerGas: optional(quantity),
  type: optional(quantity),
  chainId: optional(quantity),
  accessList: optional(list(record({ address, storageKeys: list(hash, LIST_MAX) }), LIST_MAX)),
});

/** One request: its version, who answers it, what it takes and what it gives. */
export interface Entry<P, R> {
  /** Rises when the shape changes; the wallet refuses a version it does not know with `unsupported_version`. */
  readonly version: number;
  /** True if a person decides, so that no clock may end it. */
  readonly person: boolean;
  readonly params: Check<P>;
  readonly result: Check<R>;
}

function machine<P, R>(params: Check<P>, result: Check<R>): Entry<P, R> {
  return { version: 1, person: false, params, result };
}

function person<P, R>(params: Check<P>, result: Check<R>): Entry<P, R> {
  return { version: 1, person: true, params, result };
}

/**
 * Another chain's requests get a prefix of their own here, as `evm.` is Ethereum's. Everything but `status`, `networks`, `language`,
 * `open`, `close`, `login` and `signUp` answers `login_required` or `consent_required` until the user has logged in and let this app see the wallet.
 */
export const vocabulary = {
  /** Where this app stands: never more than that before consent. */
  status: machine(nothing, record({ status })),
  /** What the wallet knows, in its order. */
  networks: machine(nothing, list(record({ network: chain, name: text(64) }), LIST_MAX)),
  /** A wish, by BCP 47, for as long as the page lives. What the user chose in the wallet goes before it, and the app is not told which it is. */
  language: machine(record({ language: languageTag }), done),
  session: machine(nothing, session),
  accounts: machine(
    record({ networks: optional(list(chain, LIST_MAX)), withEoa: optional(boolean) }),
    list(account, LIST_MAX),
  ),
  /** Of all accounts unless named. */
  balance: machine(record({ accounts: optional(list(account, LIST_MAX)) }), list(balance, LIST_MAX)),
  /** Shows the wallet; done when it is seen. */
  open: person(nothing, done),
  /** Hides the wallet, as if the user had closed it. */
  close: machine(nothing, done),
  /** Logs in where nobody is, asks for consent where there is none, and makes no sound where both stand. */
  login: person(record({ email: optional(email) }), session),
  /** The same, from the form for those who have no account yet. */
  signUp: person(record({ email: optional(email) }), session),
  /** Makes the wallet of a user who has none, or registers this app with it. */
  register: person(nothing, session),
  /** Ends the user's session at the wallet and at the server. */
  logout: machine(nothing, done),
  /** Takes back the consent that the user gave this app; the user's session stays. */
  revoke: machine(nothing, done),
  /** The wallet's own form, filled in as far as is given here. */
  send: person(record({ account, to: optional(text(128)), amount: optional(decimal) }), record({ txId: text(128) })),
  /** Shows the address; done when it is seen. */
  receive: person(record({ account }), done),
  /** The user proves to their wallet that they know its PIN; nothing is signed. A wrong one costs a try as always. */
  "pin.verify": person(nothing, done),
  /** Puts a new PIN in place of the one in force, which is asked for first. */
  "pin.change": person(nothing, done),
  /** A method of the network's node that only reads. */
  "evm.rpc": machine(
    record({ network: chain, method: text(64, /^[a-z]+_[A-Za-z0-9_]+$/), params: list(json, 16) }),
    json,
  ),
  /** EIP-191 `personal_sign`; the message's bytes. */
  "evm.signMessage": person(record({ network: chain, address, message: data }), signature),
  /** EIP-712 version 4; the JSON as the app wrote it, so that nobody's parser changes it on the way. */
  "evm.signTypedData": person(record({ network: chain, address, typedData: text(256 * 1024) }), signature),
  /** What is missing is filled in by the wallet; what is there is kept, or the answer is no. */
  "evm.signTransaction": person(record({ network: chain, transaction: evmTransaction }), data),
  "evm.sendTransaction": person(record({ network: chain, transaction: evmTransaction }), hash),
  /** EIP-747: asks the user to see this token in the wallet. */
  "evm.watchToken": person(
    record({ network: chain, address, symbol: text(11), decimals: oneOf(...Array.from({ length: 37 }, (_, n) => n)) }),
    boolean,
  ),
} as const;

/**
 * One address of the user's on one network, by its CAIP-2 id.
 *
 * @interface
 */
export type Account = Checked<typeof account>;
/**
 * Who is logged in. `status` says what is still missing: a PIN, or this app's registration.
 *
 * @interface
 */
export type Session = Checked<typeof session>;
/**
 * An EVM transaction as JSON-RPC writes it. What is missing the wallet fills in.
 *
 * @interface
 */
export type Transaction = Checked<typeof evmTransaction>;

export type Vocabulary = typeof vocabulary;
/** What can be asked of a wallet, by name. */
export type Method = keyof Vocabulary;
/** What a request takes. */
export type Params<M extends Method> = Checked<Vocabulary[M]["params"]>;
/** What a request comes to. */
export type Result<M extends Method> = Checked<Vocabulary[M]["result"]>;

/** The entry of `name`, whose checks also bound the whole value; undefined for a name that the table does not have. */
export function entryOf(name: string): Entry<Json, Json> | undefined {
  if (!Object.hasOwn(vocabulary, name)) return undefined;
  const entry = vocabulary[name as Method] as unknown as Entry<Json, Json>;
  return {
    ...entry,
    params: (value): value is Json => fits(value) && entry.params(value),
    result: (value): value is Json => fits(value) && entry.result(value),
  };
}

/** What the wallet tells of its own accord. */
export const events = {
  session: record({ status }),
  accounts: list(account, LIST_MAX),
} as const;

/** What the wallet tells of its own accord, by name. */
export type EventName = keyof typeof events;
/** What it tells with it. */
export type EventData<E extends EventName> = Checked<(typeof events)[E]>;

/** True if the wallet may tell `data` under `name`. */
export function isEvent(name: string, data: unknown): name is EventName {
  return Object.hasOwn(events, name) && fits(data) && events[name as EventName](data);
}
