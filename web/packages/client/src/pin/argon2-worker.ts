/** The worker's side of {@link argon2InWorker}: one job, one answer. */

import { type Argon2Job, argon2InThread } from "./argon2.js";

const scope = globalThis as unknown as {
  addEventListener(type: "message", listener: (event: { data: Argon2Job }) => void): void;
  postMessage(message: unknown): void;
};

scope.addEventListener("message", ({ data }) => {
  void argon2InThread(data).then((factor) => scope.postMessage(factor));
});
