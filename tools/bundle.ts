/**
 * Bundles src/cmd/ into dist/: one JavaScript file an entry point and shared chunks for what is loaded lazily, because start-up time is a feature.
 * Native packages stay outside. A stamp of the sources' newest change lets `npm start` see whether the bundle is stale.
 */
import { build } from "esbuild";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fingerprint } from "./fingerprint.mjs";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");
const entryPoints = readdirSync(join(root, "src/cmd"))
  .filter((name) => /^(nodeless|control-plane|node)\.ts$/.test(name))
  .map((name) => ({ in: join(root, "src/cmd", name), out: name.replace(/\.ts$/, "") }));
/** Programs that parts start by themselves. */
const helpers = [{ in: join(root, "src/store/lmdb/check-main.ts"), out: "store-check" }];

/** Packages that stay outside: those with native parts, and CommonJS ones whose names a bundled import() would not find. */
const outside = ["lmdb", "koffi", "@lydell/node-pty", "undici"];

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
await build({
  entryPoints: [...entryPoints, ...helpers],
  outdir: dist,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
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
});
const data = join(root, "src/api/generated/data");
if (existsSync(data)) cpSync(data, join(dist, "data"), { recursive: true });
writeFileSync(join(dist, "fingerprint"), fingerprint(root));
console.log(`bundled ${entryPoints.length} entry points into dist/`);
