/**
 * How the product is bundled; the benches bundle what they measure in the same way.
 */
import type { BuildOptions, Plugin } from "esbuild";
import { readFileSync } from "node:fs";
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
    plugins: [builtinsWithoutFacade],
    // Node would be given the CommonJS form, which cannot be shaken.
    alias: { yaml: join(root, "node_modules/yaml/browser/index.js") },
    // Some bundled libraries are CommonJS and ask for require().
    banner: {
      js: 'import { createRequire as nodelessRequire } from "node:module"; const require = nodelessRequire(import.meta.url);',
    },
    logLevel: "warning",
  };
}

/**
 * Takes Node's own modules as objects instead of importing them. An import reads every export once, and some of them load what nobody asked for: `node:http` a whole
 * undici for its WebSocket. Of the modules that a control plane needs, that is 39 ms of CPU at each start against 15.
 */
const builtinsWithoutFacade: Plugin = {
  name: "builtins-without-facade",
  setup(build) {
    build.onLoad({ filter: /\/(src|bench)\/.*\.ts$/ }, ({ path }) => ({
      contents: withoutFacades(readFileSync(path, "utf8")),
      loader: "ts",
    }));
  },
};

/** `import { type A, b as c } from "node:x"` as `const { b: c } = process.getBuiltinModule("node:x")`, on as many lines. */
function withoutFacades(source: string): string {
  const named = /^import \{([^}]*)\} from ("node:[^"]+");/gm;
  const whole = /^import (?:\* as )?(\w+) from ("node:[^"]+");/gm;
  return source
    .replace(named, (_all, names: string, module: string) => {
      const values = names
        .replaceAll(/\btype\s+\w+(?:\s+as\s+\w+)?\s*(?:,|$)/gm, "")
        .replaceAll(/(\w+)\s+as\s+(\w+)/g, "$1: $2");
      return `const {${values}} = process.getBuiltinModule(${module});`;
    })
    .replace(whole, "const $1 = process.getBuiltinModule($2);");
}
