/** The messages themselves. Two cross between windows; everything else travels over the port that `connect` brings. */
import { boolean, type Check, type Checked, count, fits, json, oneOf, optional, record, text } from "./schema.js";

/** The bridge's own version, apart from that of each request. */
export const BRIDGE_VERSION = 1;
/** Requests under way on one connection: far more than a page has reason for. */
export const REQUESTS_MAX = 64;

const version = oneOf(BRIDGE_VERSION);
const name = text(64);
export const code = text(64, /^[a-z][a-z0-9_]*$/);
/** Characters of an error's text that crosses. */
export const ERROR_TEXT_MAX = 500;
/** Characters of what a reverted call returned; what is longer does not cross. */
export const ERROR_DATA_MAX = 64 * 1024;

/** Names one load of the wallet's page, so that no answer to the page before it is taken for one to itself. No secret. */
const load = text(32, /^[0-9a-f]{32}$/);
/** Wallet to whoever framed or opened it: I am loaded. Anybody may read it. */
const hello = record({ pinseal: oneOf("hello"), version, load });
/** App to the wallet's exact origin, with one port. */
const connect = record({ pinseal: oneOf("connect"), version, load, appId: text(64, /^[-_A-Za-z0-9]+$/) });

/** `epoch` counts the times that the user closed the wallet: a request of an earlier one is stale and never shown. */
const request = record({ type: oneOf("request"), id: count, epoch: count, method: name, version: count, params: json });
const cancel = record({ type: oneOf("cancel"), id: count });
const bye = record({ type: oneOf("bye") });
/** Answered by `pong` at once: a page that hangs or is gone without a trace does not. */
const ping = record({ type: oneOf("ping") });

const pong = record({ type: oneOf("pong") });
const ready = record({ type: oneOf("ready") });
const refused = record({ type: oneOf("refused"), code });
const reply = record({ type: oneOf("reply"), id: count, result: json });
const failure = record({
  type: oneOf("failure"),
  id: count,
  code,
  message: text(ERROR_TEXT_MAX),
  retryable: boolean,
  data: optional(text(ERROR_DATA_MAX, /^0x([0-9a-fA-F]{2})*$/)),
});
const shown = record({ type: oneOf("shown"), shown: boolean });
const closed = record({ type: oneOf("closed"), epoch: count });
const event = record({ type: oneOf("event"), name, data: json });

export type Hello = Checked<typeof hello>;
export type Connect = Checked<typeof connect>;
export type FromApp = Checked<typeof request> | Checked<typeof cancel> | Checked<typeof bye> | Checked<typeof ping>;
export type FromWallet =
  | Checked<typeof pong>
  | Checked<typeof ready>
  | Checked<typeof refused>
  | Checked<typeof reply>
  | Checked<typeof failure>
  | Checked<typeof shown>
  | Checked<typeof closed>
  | Checked<typeof event>
  | Checked<typeof bye>;

export const isHello = bounded<Hello>(hello);
export const isConnect = bounded<Connect>(connect);
export const isFromApp = bounded<FromApp>(request, cancel, bye, ping);
export const isFromWallet = bounded<FromWallet>(pong, ready, refused, reply, failure, shown, closed, event, bye);

function bounded<T>(...shapes: Check<T & never>[] | Check<T>[]): Check<T> {
  return (value): value is T => fits(value) && shapes.some((shape) => (shape as Check<T>)(value));
}
