/** Pages of the log: entries as the host shows them, for the caller to prove. */

import { LOGGED_WRITES_MAX } from "../protocol/history.js";
import { hex, list, natural, object, optional, type Read, string } from "./json.js";
import type { Sessions } from "./session.js";

const logItem = object({ index: natural, entry: hex, proof: list(hex) });
const page = object({ items: list(logItem), next_cursor: optional(string) });
export type LogItem = Read<typeof logItem>;
export type LogPage = Read<typeof page>;

export class LogApi {
  readonly #sessions: Sessions;
  readonly #user: string | undefined;

  /** `user`: whose log it is, and nobody else's who logs in meanwhile. */
  constructor(sessions: Sessions, user?: string) {
    this.#sessions = sessions;
    this.#user = user;
  }

  /** Entries of the writes to the caller's wallet, newest first, proved in the tree of `size`. */
  writes(size: bigint, limit: bigint, cursor: string | undefined): Promise<LogPage> {
    return this.#page(["v1", "wallet", "history"], size, limit, cursor);
  }

  /** Entries about the deployment itself, newest first, proved in the tree of `size`. */
  events(size: bigint, cursor: string | undefined): Promise<LogPage> {
    return this.#page(["v1", "log", "events"], size, BigInt(LOGGED_WRITES_MAX), cursor);
  }

  #page(path: readonly string[], size: bigint, limit: bigint, cursor: string | undefined): Promise<LogPage> {
    const most = limit < LOGGED_WRITES_MAX ? limit : BigInt(LOGGED_WRITES_MAX);
    const query: (readonly [string, string])[] = [
      ["size", `${size}`],
      ["limit", `${most}`],
    ];
    if (cursor !== undefined) query.push(["cursor", cursor]);
    return this.#sessions.authorized({ method: "GET", path, query }, page, this.#user);
  }
}
