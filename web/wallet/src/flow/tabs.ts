/** Tabs of one wallet: they share the profile, and tell each other when somebody logs in or out, or when something was sent. */

export type News = "session" | "wallet";

export class Tabs {
  readonly #channel: BroadcastChannel | undefined;

  constructor(heard: (news: News) => void) {
    if (typeof BroadcastChannel === "undefined") return;
    this.#channel = new BroadcastChannel("pinseal wallet");
    this.#channel.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (data === "session" || data === "wallet") heard(data);
    });
  }

  tell(news: News): void {
    this.#channel?.postMessage(news);
  }
}
