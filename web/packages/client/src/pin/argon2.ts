/** Where Argon2id runs: in a worker of its own in browsers, so that the page stays alive; in this thread elsewhere. */

import type { Bytes } from "../bytes.js";
import type { Argon2Parameters } from "../protocol/pin.js";

/** What to compute. The digits are zeroed when it is done. */
export interface Argon2Job {
  readonly digits: Bytes;
  readonly salt: Bytes;
  readonly parameters: Argon2Parameters;
}

/** Argon2id version 0x13 with an output of 32 bytes; `undefined` if the memory is not there. Nothing weaker is computed instead. */
export type Argon2 = (job: Argon2Job) => Promise<Bytes | undefined>;

/** Computes in this thread, which stands still meanwhile. */
export const argon2InThread: Argon2 = async ({ digits, salt, parameters }) => {
  const { argon2id } = await import("./argon2id.js");
  try {
    const factor = await argon2id({
      password: digits,
      salt,
      iterations: parameters.passes,
      parallelism: parameters.lanes,
      memorySize: parameters.memoryKib,
      hashLength: 32,
      outputType: "binary",
    });
    return new Uint8Array(factor);
  } catch {
    return undefined;
  } finally {
    digits.fill(0);
  }
};

/** As much of a worker as is used. */
export interface WorkerLike {
  /** Hands the job over. */
  postMessage(message: unknown): void;
  /** Hears the answer, or that there will be none. */
  addEventListener(type: "message" | "error", listener: (event: { data?: unknown }) => void): void;
  /** Ends it, its memory with it. */
  terminate(): unknown;
}

function moduleWorker(): WorkerLike {
  return new Worker(new URL("./argon2-worker.js", import.meta.url), { type: "module" });
}

/** Computes in a fresh worker, which ends with its memory: neither PIN nor blocks stay behind in it. */
export function argon2InWorker(start: () => WorkerLike = moduleWorker): Argon2 {
  return (job) =>
    new Promise((resolve) => {
      const worker = start();
      const end = (factor: unknown) => {
        worker.terminate();
        resolve(factor instanceof Uint8Array ? new Uint8Array(factor) : undefined);
      };
      worker.addEventListener("message", ({ data }) => end(data));
      worker.addEventListener("error", () => end(undefined));
      worker.postMessage(job);
      job.digits.fill(0);
    });
}

/** A worker where there are workers. */
export const argon2Default: Argon2 = (job) => (typeof Worker === "undefined" ? argon2InThread : argon2InWorker())(job);
