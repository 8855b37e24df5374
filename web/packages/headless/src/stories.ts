/** Tests of what an app calls, each against a wallet that answers by a table. */

import { test } from "node:test";
import type { WalletOptions } from "@pinseal/core/wallet";
import { type Page, page } from "./page.js";

/** What the wallet answers, by what it is asked. */
export type Answers = Record<string, (params: never) => unknown>;

export interface Stage {
  readonly stage: Page;
  /** What the wallet was asked, in order, with what. */
  readonly asked: [string, unknown][];
}

/** An answer that does not come. */
export const never = (): Promise<never> => new Promise(() => undefined);

/** Whether an error has this code. */
export const code = (wanted: string) => (error: unknown) => (error as { code?: string }).code === wanted;

/** Until all that is on its way has arrived. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
}

/** One test after the other, each on a page of its own. `usual` is answered where a test says nothing else; `make` gives what is tested, and ends it. */
export function stories<Parts extends object>(
  usual: Answers,
  make: (options: Page["options"]) => { readonly parts: Parts; finalize(): void },
): (name: string, tell: (stage: Parts & Stage) => Promise<void>, answers?: Answers) => void {
  return (name, tell, answers = {}) =>
    void test(name, { timeout: 10_000 }, async () => {
      const asked: [string, unknown][] = [];
      const stage = page((async (method: string, params: never) => {
        asked.push([method, params]);
        return (answers[method] ?? usual[method])?.(params);
      }) as unknown as WalletOptions["answer"]);
      const made = make(stage.options);
      try {
        await tell({ ...made.parts, stage, asked });
      } finally {
        made.finalize();
        stage.stop();
      }
    });
}
