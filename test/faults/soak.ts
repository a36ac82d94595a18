/**
 * `npm run soak [-- 5m] [--name CLUSTER]`: a cluster under load for an hour, or as long as said. A line of figures every minute, and at the end the verdict: whether all is back where it began.
 */
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { deleteNamespace } from "./apps.ts";
import type { FaultContext } from "./fault.ts";
import { startFaultCluster } from "./fault-cluster.ts";
import { seeded } from "./random.ts";
import { findGrowth, type Sample, tableHead, tableRow, takeSample } from "./soak-meter.ts";
import { prepareWork, type Tally, work, workNamespace } from "./soak-work.ts";
import { SteadyApp } from "./steady-app.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: "string", default: "soak" } },
});
const lengthMs = parseLength(positionals[0] ?? "60m");
const everyMs = Math.min(60_000, lengthMs / 10);
const alive = setInterval(() => {}, 1000); // the client's connections do not keep a process alive
console.log(`node ${process.version}, ${Math.round(lengthMs / 60_000)} minutes`);

const shared = await startFaultCluster(values.name);
let problems: string[];
try {
  problems = await soak({ ...shared, random: seeded(1), size: "long", log: (line) => console.log(line) });
} finally {
  await shared.remove();
  clearInterval(alive);
}
for (const problem of problems) console.log(problem);
console.log(problems.length === 0 ? "all is back where it began" : "SOMETHING GREW OR FAILED");
process.exit(problems.length === 0 ? 0 : 1);

async function soak(context: FaultContext): Promise<string[]> {
  const { client, machine } = context;
  const census = machine.census();
  // One round first: code is loaded and caches exist once they were needed.
  const tally: Tally = { done: 0, failures: [] };
  await load(context, tally, Math.min(30_000, lengthMs / 5), () => {});
  await machine.sameAs(census, 60_000);
  const start = takeSample(machine, 0, tally.done);
  console.log(`${tableHead}\n${tableRow(start)}  (at rest)`);
  const during: Sample[] = [];
  const app = await SteadyApp.start(context, 100);
  await load(context, tally, lengthMs, (minute) => {
    const sample = takeSample(machine, minute, tally.done);
    during.push(sample);
    console.log(tableRow(sample));
  });
  await app.assertUntouched();
  await app.stop();
  await machine.sameAs(census, 60_000);
  await sleep(5000);
  const end = takeSample(machine, lengthMs / 60_000, tally.done);
  console.log(`${tableRow(end)}  (at rest)`);
  await deleteNamespace(client, workNamespace);
  console.log(`${tally.done} pieces of work were done, ${tally.failures.length} failed`);
  for (const failure of tally.failures.slice(0, 20)) console.log(failure);
  // Programs that were started on a busy machine may come too late; more than a few is something else.
  const failed = tally.failures.length > tally.done / 100 ? ["more than 1 % of the work failed"] : [];
  return [...findGrowth(start, during, end), ...failed];
}

/** Works for a while, tells of it now and then, and takes away what the work was done on. */
async function load(
  context: FaultContext,
  tally: Tally,
  forMs: number,
  onLook: (minute: number) => void,
): Promise<void> {
  await prepareWork(context);
  const stop = new AbortController();
  const working = work(context, tally, stop.signal);
  const startMs = Date.now();
  for (let look = 1; look * everyMs <= forMs; look++) {
    await sleep(startMs + look * everyMs - Date.now());
    onLook((look * everyMs) / 60_000);
  }
  await sleep(Math.max(0, startMs + forMs - Date.now()));
  stop.abort(new Error("enough"));
  await working;
  await deleteNamespace(context.client, workNamespace);
}

/** "90s", "5m" or "1h" in milliseconds. */
function parseLength(text: string): number {
  const [, amount, unit] = /^(\d+)([smh])$/.exec(text) ?? [];
  if (amount === undefined) throw new Error(`${text} is no length of time: say 90s, 5m or 1h`);
  return Number(amount) * { s: 1000, m: 60_000, h: 3_600_000 }[unit as "s" | "m" | "h"];
}
