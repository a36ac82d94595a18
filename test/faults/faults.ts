/**
 * `npm run faults [-- NAME …] [--seed N] [--short] [--list] [--part K/N] [--name CLUSTER]`: kills, cuts and fills until something breaks. All, or those named. The last line is the verdict; a run can be
 * made again by its seed.
 */
import { parseArgs } from "node:util";
import { allFaults } from "./all-faults.ts";
import { type Part, reasonToSkip } from "./fault.ts";
import { startFaultCluster } from "./fault-cluster.ts";
import { seeded } from "./random.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string" },
    short: { type: "boolean", default: false },
    list: { type: "boolean" },
    part: { type: "string" },
    name: { type: "string", default: "faults" },
  },
});
const unknown = positionals.filter((name) => !allFaults.some((fault) => fault.name === name));
if (values.list === true || unknown.length > 0) {
  for (const { name, claim } of allFaults) console.log(`${name.padEnd(16)} ${claim}`);
  process.exit(unknown.length > 0 ? 2 : 0);
}
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const part = parsePart(values.part);
const size = values.short ? "short" : "long";
const startMs = Date.now();
const log = (line: string) => console.log(`${((Date.now() - startMs) / 1000).toFixed(1).padStart(7)}  ${line}`);
console.log(`node ${process.version}, seed ${seed}, ${size}`);

const shared = await startFaultCluster(values.name);
const failed: string[] = [];
// The client's connections and timers do not keep a process alive.
const alive = setInterval(() => {}, 1000);
try {
  for (const fault of allFaults.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
    log(`— ${fault.name}: ${fault.claim}`);
    const why = reasonToSkip(fault);
    if (why !== undefined) {
      log(`skipped: ${why}`);
      continue;
    }
    try {
      await fault.run({ ...shared, random: seeded(seed), size, log, ...(part && { part }) });
      log(`${fault.name} holds`);
    } catch (error) {
      failed.push(fault.name);
      log(`${fault.name} FAILED: ${(error as Error).stack}`);
      break; // what comes next would meet the ruins of this
    }
  }
} finally {
  if (failed.length === 0 || process.env["FAULTS_KEEP"] === undefined) await shared.remove();
}
clearInterval(alive);
console.log(failed.length === 0 ? "all hold" : `${failed.join(", ")} FAILED; again with --seed ${seed}`);
process.exit(failed.length === 0 ? 0 : 1);

function parsePart(text: string | undefined): Part | undefined {
  const [number, of] = (text ?? "").split("/").map(Number);
  return number !== undefined && of !== undefined ? { number, of } : undefined;
}
