/**
 * `npm run check`: format, lint, types, layers, dead code, unit tests; each by its own tool, all of them run even when one fails. Under a minute.
 */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const bin = (name: string) => resolve(root, "node_modules/.bin", name);
const unitTests = ["--test", "--test-isolation=none", "--test-reporter=dot", "src/**/*.test.ts", "tools/**/*.test.ts"];

const steps: readonly { readonly name: string; readonly command: string; readonly args: readonly string[] }[] = [
  { name: "format", command: bin("biome"), args: ["format", "."] },
  { name: "lint", command: bin("oxlint"), args: ["--type-aware", "src", "tools", "test", "bench"] },
  { name: "types", command: bin("tsc"), args: ["-p", "."] },
  { name: "layers", command: process.execPath, args: ["tools/layers.ts"] },
  { name: "contracts", command: process.execPath, args: ["tools/contracts.ts"] },
  {
    name: "dead code",
    command: process.execPath,
    args: [resolve(root, "node_modules/knip/bin/knip.js"), "--no-progress"],
  },
  { name: "unit tests", command: process.execPath, args: unitTests },
];

console.log(`node ${process.version}`);
const failed: string[] = [];
const chosen = process.argv.includes("--without-tests") ? steps.slice(0, -1) : steps;
for (const { name, command, args } of chosen) {
  const startedMs = Date.now();
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 64 << 20 });
  console.log(`${status === 0 ? "✓" : "✗"} ${name} (${((Date.now() - startedMs) / 1000).toFixed(1)} s)`);
  if (status === 0) continue;
  failed.push(name);
  console.log(`${stdout}\n${stderr}`.trim().split("\n").slice(-80).join("\n"));
}
if (failed.length > 0) {
  console.error(`check failed: ${failed.join(", ")}`);
  process.exit(1);
}
