/** Clock, randomness, waiting and HTTP, handed in so that tests decide them. */

import type { Bytes } from "./bytes.js";

/** What the client needs of the world around it. */
export interface Environment {
  /** The device's clock in Unix seconds. */
  now(): number;
  /** Unpredictable bytes. */
  random(length: number): Bytes;
  /** Resolves no sooner than this. */
  sleep(milliseconds: number): Promise<void>;
  /** As the platform's own. */
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** The real world. Looks at nothing before it is used, so that importing it is safe on a server. */
export const system: Environment = {
  now: () => Math.floor(Date.now() / 1000),
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
  sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  fetch: (url, init) => fetch(url, init),
};
