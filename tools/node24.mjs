/**
 * Runs a script with the Node 24 that comes as a dependency, whatever Node started npm.
 * Usage: node tools/node24.mjs [node options] script [arguments]
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const bundled = fileURLToPath(new URL(`../node_modules/node-linux-${process.arch}/bin/node`, import.meta.url));
const binary = existsSync(bundled) ? bundled : process.execPath;
const { status, signal } = spawnSync(binary, process.argv.slice(2), { stdio: "inherit" });
if (signal) process.kill(process.pid, signal);
process.exit(status ?? 1);
