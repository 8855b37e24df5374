/** Which server, and as which app. */

/** What an app shows with every call. */
export interface AppCredentials {
  readonly id: string;
  /** App Key. One for pages is good for its origin only, and no secret. */
  readonly key: string;
  /** Package or bundle id, for keys of mobile apps. */
  readonly bundle?: string;
}

/** The server's base URL: `https`, or `http` on this very machine. */
export class ServerUrl {
  readonly #base: string;

  /** Throws a `RangeError` for a URL that has more than host and path, or that would send tokens in clear to another machine. */
  constructor(text: string) {
    const url = new URL(text);
    const isBare =
      url.username === "" && url.password === "" && url.search === "" && url.hash === "" && !/[?#]/.test(text);
    if (!isBare || !["https:", "http:"].includes(url.protocol)) throw new RangeError("not a server URL");
    if (url.protocol === "http:" && !isLoopback(url.hostname)) {
      throw new RangeError("plain http is accepted only for this machine (localhost); use https");
    }
    this.#base = `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
  }

  /** The URL of a path given as segments, none of which can leave its place. */
  join(segments: readonly string[]): URL {
    if (segments.some((segment) => /^\.{0,2}$/.test(segment))) throw new RangeError("not a path segment");
    return new URL([this.#base, ...segments.map(encodeURIComponent)].join("/"));
  }

  toString(): string {
    return this.#base;
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}
