/**
 * `npm run soak [-- 5m] [--name CLUSTER]`: a cluster under load for an hour, or as long as said, in rounds: load, all that was made is deleted, a rest. A line of figures every minute and
 * at each rest, and at the end the verdict: whether all is back where it began, each time.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { deleteNamespace } from "./apps.ts";
import type { FaultContext } from "./fault.ts";
import { startFaultCluster } from "./fault-cluster.ts";
import { seeded } from "./random.ts";
import { type Sample, tableHead, tableRow, takeSample } from "./soak-meter.ts";
import { findGrowth, isConclusive } from "./soak-verdict.ts";
import { prepareWork, type Tally, work, workNamespace } from "./soak-work.ts";
import { SteadyApp } from "./steady-app.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: "string", default: "soak" } },
});
const lengthMs = parseLength(positionals[0] ?? "60m");
/** Long enough for what happens every few seconds to have happened often, short enough for several rounds. */
const roundMs = Math.min(300_000, lengthMs / 8);
/** Idle processes take most of a minute to give memory back, kept connections end after 90 seconds. */
const restMs = Math.min(100_000, roundMs / 2);
const everyMs = Math.min(60_000, roundMs / 3);
const alive = setInterval(() => {}, 1000); // the client's connections do not keep a process alive
console.log(`node ${process.version}, ${Math.round(lengthMs / 60_000)} minutes`);

// Folders of its own: what else is tested within the hour does not touch them.
const dataRoot = join(tmpdir(), `nodeless-${values.name}`);
const shared = await startFaultCluster(values.name, { dataRoot, runRoot: `/run/nodeless-${values.name}` });
let problems: string[];
try {
  problems = await soak({ ...shared, random: seeded(1), size: "long", log: (line) => console.log(line) });
} catch (error) {
  showLogs(shared.machine.dataFolder);
  throw error;
} finally {
  await shared.remove();
  rmSync(dataRoot, { recursive: true, force: true });
  clearInterval(alive);
}
for (const problem of problems) console.log(problem);
console.log(problems.length === 0 ? "all is back where it began" : "SOMETHING GREW OR FAILED");
process.exit(problems.length === 0 ? 0 : 1);

async function soak(context: FaultContext): Promise<string[]> {
  const { machine } = context;
  const census = machine.census();
  const tally: Tally = { done: 0, failures: [] };
  const startMs = Date.now();
  const minute = () => (Date.now() - startMs) / 60_000;
  const look = (remark = ""): Sample => {
    const sample = takeSample(machine, minute(), tally.done);
    console.log(`${tableRow(sample)}${remark}`);
    return sample;
  };
  const rests: Sample[] = [];
  console.log(tableHead);
  // Nothing is compared with the time before the first round: code is loaded and caches exist once they were needed.
  for (let isLast = false; !isLast; ) {
    isLast = minute() * 60_000 + 2 * (roundMs + restMs) > lengthMs;
    const app = await SteadyApp.start(context, 100);
    await load(context, tally, () => void look());
    await app.assertUntouched();
    await app.stop();
    await machine.sameAs(census, 60_000);
    await sleep(restMs);
    rests.push(look("  (at rest)"));
  }
  console.log(`${tally.done} pieces of work were done, ${tally.failures.length} failed`);
  for (const failure of tally.failures.slice(0, 20)) console.log(failure);
  if (!isConclusive(rests)) console.log("too short to tell whether memory and the store's file level off");
  // Programs that were started on a busy machine may come too late; more than a few is something else.
  const failed = tally.failures.length > tally.done / 100 ? ["more than 1 % of the work failed"] : [];
  return [...findGrowth(rests), ...failed];
}

/** Works for a round, tells of it now and then, and takes away what the work was done on. */
async function load(context: FaultContext, tally: Tally, onLook: () => void): Promise<void> {
  await prepareWork(context);
  const stop = new AbortController();
  const working = work(context, tally, stop.signal);
  const startMs = Date.now();
  for (let look = 1; look * everyMs <= roundMs; look++) {
    await sleep(startMs + look * everyMs - Date.now());
    onLook();
  }
  stop.abort(new Error("enough"));
  await working;
  await deleteNamespace(context.client, workNamespace);
}

/** What the processes said last; the logs go with the cluster. */
function showLogs(dataFolder: string): void {
  const folder = join(dataFolder, "logs");
  for (const name of readdirSync(folder)) {
    const lines = readFileSync(join(folder, name), "utf8").trimEnd().split("\n");
    console.log(`${name} ends with:\n${lines.slice(-30).join("\n")}`);
  }
}

/** "90s", "5m" or "1h" in milliseconds. */
function parseLength(text: string): number {
  const [, amount, unit] = /^(\d+)([smh])$/.exec(text) ?? [];
  if (amount === undefined) throw new Error(`${text} is no length of time: say 90s, 5m or 1h`);
  return Number(amount) * { s: 1000, m: 60_000, h: 3_600_000 }[unit as "s" | "m" | "h"];
}
