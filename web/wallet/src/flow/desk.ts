/** One question to a person at a time, in the order in which they were asked. What was taken back before its turn is never shown. */
export class Desk {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** True while anything is asked or waits to be. */
  get isBusy(): boolean {
    return this.#waiting > 0;
  }

  /**
   * What `ask` comes to, in its turn. Once the signal is aborted it rejects, and `leave` takes what is on the screen away before the
   * next one has its turn.
   */
  async run<T>(signal: AbortSignal, ask: () => Promise<T>, leave: () => void): Promise<T> {
    this.#waiting += 1;
    const turn = this.#last.then(() => untilAborted(signal, ask, leave));
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }
}

async function untilAborted<T>(signal: AbortSignal, ask: () => Promise<T>, leave: () => void): Promise<T> {
  signal.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      leave();
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([ask(), aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener("abort", stop);
  }
}
