/** How Vite builds the app; from a checkout of Pinseal, whose packages are not on npm yet. Elsewhere nothing of this is needed but the first line of `config`. */
import { fileURLToPath } from "node:url";

const WEB = new URL("../../web/", import.meta.url);
const HERE = fileURLToPath(new URL(".", import.meta.url));
const source = (name) => fileURLToPath(new URL(`packages/${name}/src/index.ts`, WEB));

/** Finds what the app imports among the packages of the checkout. */
const fromCheckout = {
  name: "from-checkout",
  enforce: "pre",
  resolveId(id, importer, options) {
    const isPackage = /^[@a-z]/.test(id) && importer?.startsWith(HERE);
    return isPackage
      ? this.resolve(id, fileURLToPath(new URL("package.json", WEB)), { ...options, skipSelf: true })
      : null;
  },
};

export default {
  oxc: { jsx: { runtime: "automatic" } },
  root: HERE,
  resolve: {
    alias: Object.fromEntries(["core", "provider", "wagmi"].map((name) => [`@pinseal/${name}`, source(name)])),
  },
  plugins: [fromCheckout],
  build: { target: "es2022", modulePreload: { polyfill: false }, reportCompressedSize: false },
};
