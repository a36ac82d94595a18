/**
 * Bundles src/cmd/ into dist/: one JavaScript file an entry point and shared chunks for what is loaded lazily, because start-up time is a feature.
 * Native packages stay outside. A stamp of the sources' newest change lets `npm start` see whether the bundle is stale.
 */
import { build } from "esbuild";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { bundleOptions } from "./bundle-options.ts";
import { firstObjectsFolder } from "#cmd/control-plane/first-objects.ts";
import { fingerprint } from "./fingerprint.mjs";
import { writeFirstObjectFiles } from "./first-objects.ts";
import { writeWords } from "./words.ts";

const root = resolve(import.meta.dirname, "..");
const dist = join(root, "dist");
const entryPoints = readdirSync(join(root, "src/cmd"))
  .filter((name) => /^(nodeless|control-plane|node|eventing|function-build)\.ts$/.test(name))
  .map((name) => ({ in: join(root, "src/cmd", name), out: name.replace(/\.ts$/, "") }));
/** Programs that parts start by themselves. */
const helpers = [
  { in: join(root, "src/store/lmdb/check-main.ts"), out: "store-check" },
  { in: join(root, "src/apimachinery/codecs/yaml-main.ts"), out: "yaml-main" },
  { in: join(root, "src/proxy/threads/proxy-thread-main.ts"), out: "proxy-thread" },
  { in: join(root, "src/runtime/rootless/cage-main.ts"), out: "cage" },
];

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
await build({
  ...bundleOptions(root),
  entryPoints: [...entryPoints, ...helpers],
  outdir: dist,
});
// What is bundled with the code of functions: a module each, for workerd and for Node, that has nothing of ours around it.
await build({
  entryPoints: [
    { in: join(root, "src/functions/runtimes/isolate-entry.ts"), out: "function-isolate" },
    { in: join(root, "src/functions/runtimes/node-server.ts"), out: "function-node" },
  ],
  outdir: dist,
  bundle: true,
  format: "esm",
  platform: "neutral",
  external: ["node:*"],
  target: "es2024",
});
const data = join(root, "src/api/generated/data");
if (existsSync(data)) cpSync(data, join(dist, "data"), { recursive: true });
writeWords(join(dist, "words.json.br"));
await writeFirstObjectFiles(join(dist, firstObjectsFolder));
writeFileSync(join(dist, "fingerprint"), fingerprint(root));
console.log(`bundled ${entryPoints.length} entry points into dist/`);
