/** How long steps take, by name and for whoever measures the page (`make bench-page`). Names and times alone: nothing of what was done. */

export type Timed = "evidence" | "argon2id" | "answer";

/** Entries are few a PIN; a page that stays open for weeks starts anew. */
const ENTRIES_MAX = 512;

export async function timed<T>(name: Timed, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  try {
    return await work();
  } finally {
    if (performance.getEntriesByType("measure").length >= ENTRIES_MAX) performance.clearMeasures();
    performance.measure(`pinseal ${name}`, { start });
  }
}

/** The pad takes digits from now on. */
export function padIsOpen(): void {
  performance.clearMarks();
  performance.mark("pinseal pad");
}
