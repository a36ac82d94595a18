/**
 * Runs a script with the Node 24 that comes as a dependency, whatever Node started npm. Signals are passed on, so that whoever ends this process ends the script.
 * Usage: node tools/node24.mjs [node options] script [arguments]
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const bundled = fileURLToPath(new URL(`../node_modules/node-linux-${process.arch}/bin/node`, import.meta.url));
const binary = existsSync(bundled) ? bundled : process.execPath;
const child = spawn(binary, process.argv.slice(2), { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
