/** Tests that end: whatever is waited for, somebody who runs them learns in time what did not come. */

import type { TestContext } from "node:test";

/** Far longer than any step takes on a machine that is busy. */
export const STEP_MILLISECONDS = 120_000;

/** Steps of one way: after one that fails, the next ones would only wait in vain. None takes longer than its limit. */
export function steps(
  t: TestContext,
  milliseconds = STEP_MILLISECONDS,
): (name: string, work: () => void | Promise<void>) => Promise<void> {
  let isBroken = false;
  return (name, work) =>
    t.test(name, { skip: isBroken ? "an earlier step failed" : false, timeout: milliseconds }, async () => {
      isBroken = true;
      await work();
      isBroken = false;
    });
}

/**
 * What a promise comes to, if it comes in time.
 *
 * @throws What `otherwise` says, after `milliseconds`.
 */
export async function within<T>(
  promise: Promise<T>,
  milliseconds: number,
  otherwise: () => string | Promise<string>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(async () => reject(new Error(await otherwise())), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
