/** What a browser's worker has in its scope, in a thread of Node. */

import { parentPort } from "node:worker_threads";

const scope = globalThis as unknown as Record<string, unknown>;
scope.addEventListener = (_: string, listener: (event: { data: unknown }) => void) => {
  parentPort?.on("message", (data: unknown) => listener({ data }));
};
scope.postMessage = (message: unknown) => parentPort?.postMessage(message);

await import("../src/pin/argon2-worker.js");
