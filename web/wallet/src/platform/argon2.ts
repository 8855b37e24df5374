/** The worker that turns a PIN into its factor: the one script whose URL this page makes, and the one policy for such URLs. */

import { type Argon2, argon2InWorker } from "@pinseal/client";
import workerUrl from "@pinseal/client/argon2-worker?worker&url";
import { timed } from "./clock.ts";

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown };
}

/** Trusted Types are not everywhere yet; where they are, the server's policy allows this name and no other. */
function trusted(url: string): string {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  if (types === undefined) return url;
  const policy = types.createPolicy("pinseal-worker", {
    createScriptURL(wanted) {
      if (wanted !== workerUrl) throw new TypeError("not the worker of this page");
      return wanted;
    },
  });
  return policy.createScriptURL(url) as string;
}

const url = trusted(workerUrl);

const inWorker = argon2InWorker(() => new Worker(url, { type: "module" }));

export const argon2: Argon2 = (job) => timed("argon2id", () => inWorker(job));
