/** An app's own pages: one server under as many names below `localhost` as a test likes, and scripts that are bundled for them. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { buildSync } from "esbuild";

/** Where the packages for apps lie. */
export const PACKAGES = new URL("../../../packages/", import.meta.url);
const HERE = new URL("../..", import.meta.url).pathname;

/** What a page says of itself that its browser would ask for otherwise. */
const HEAD = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">`;

/** A document around this. */
export const documentOf = (body: string): string => `${HEAD}${body}`;

/** A module in the document itself. */
export const inline = (script: string): string =>
  `<script type="module">${script.replaceAll("</script", "<\\/script")}</script>`;

/** One script of these lines and all that they import; the packages from their sources, so that nothing has to be compiled before. */
export function bundle(contents: string): string {
  const names = ["core", "login", "pin", "provider", "sdk", "wagmi"];
  const alias = Object.fromEntries(
    names.map((name) => [`@pinseal/${name}`, `${PACKAGES.pathname}${name}/src/index.ts`]),
  );
  const stdin = { contents, resolveDir: HERE };
  return buildSync({ stdin, alias, bundle: true, format: "esm", write: false }).outputFiles[0]?.text ?? "";
}

/** What the server gives. */
export interface Answer {
  readonly type: "text/html" | "text/javascript";
  readonly body: string;
  readonly headers?: Record<string, string>;
}

export class Site {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(answer: (address: URL, request: IncomingMessage) => Answer): Promise<Site> {
    const server = createServer((request, response) => {
      const { type, body, headers } = answer(new URL(request.url ?? "/", "http://site"), request);
      response.writeHead(200, { "content-type": type, ...headers });
      response.end(body);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Site(server);
  }

  /** Its origin under a name. */
  origin(host: string): string {
    return `http://${host}:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
