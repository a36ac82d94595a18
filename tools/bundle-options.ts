/**
 * How the product is bundled; the benches bundle what they measure in the same way.
 */
import type { BuildOptions } from "esbuild";
import { join } from "node:path";

/** Packages that stay outside: those with native parts, and CommonJS ones whose names a bundled import() would not find. */
const outside = ["lmdb", "koffi", "@lydell/node-pty", "undici"];

/** Options for esbuild, without entry points and output folder. */
export function bundleOptions(root: string): BuildOptions {
  return {
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: "linked",
    chunkNames: "chunks/[name]-[hash]",
    external: outside,
    // Node would be given the CommonJS form, which cannot be shaken.
    alias: { yaml: join(root, "node_modules/yaml/browser/index.js") },
    // Some bundled libraries are CommonJS and ask for require().
    banner: {
      js: 'import { createRequire as nodelessRequire } from "node:module"; const require = nodelessRequire(import.meta.url);',
    },
    logLevel: "warning",
  };
}
