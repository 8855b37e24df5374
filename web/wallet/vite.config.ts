import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** Files whose names change with their contents; the server lets browsers keep them for good. */
const HASHED = "assets/[name]-[hash]";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    // The directory keeps a file of its own in version control; scripts/build.mjs empties it.
    emptyOutDir: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      output: { entryFileNames: `${HASHED}.js`, chunkFileNames: `${HASHED}.js`, assetFileNames: `${HASHED}[extname]` },
    },
  },
  worker: {
    format: "es",
    rolldownOptions: {
      // The server sends these under the one policy that allows WebAssembly.
      output: {
        entryFileNames: "assets/worker/[name]-[hash].js",
        chunkFileNames: "assets/worker/[name]-[hash].js",
      },
    },
  },
});
