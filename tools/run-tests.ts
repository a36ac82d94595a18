/**
 * All tests. What needs nothing of the machine but its processors comes first, two at a time: the checks, the unit tests in two processes, the store's long tests; what later ones need (images, programs in Go)
 * is made beside them. Then the end-to-end files, a process each: those that mostly wait two at a time, and the rest one by one (test-plan.ts says which).
 * What failed is told once more at the end, after the slowest; the last line is "N passed, N failed".
 */
import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { runFiles, sumOf, type TestResult } from "./run-files.ts";
import { planTests, root, shareOf } from "./test-plan.ts";

/** Something that is run, with its name in the log. `write` takes what it says; `lane` counts those that run at once, from 1. */
type Job = {
  readonly name: string;
  readonly run: (write: (text: string) => void, lane: number) => Promise<TestResult>;
};

const lanes = Math.min(2, availableParallelism());
const only = process.argv.slice(2);
const startMs = performance.now();
const seconds = new Map<string, number>();
const results: TestResult[] = [];

/** Runs jobs, so many at a time; each one's lines stand together. */
async function runJobs(jobs: readonly Job[], most: number): Promise<void> {
  const atOnce = Math.min(most, jobs.length);
  const waiting = [...jobs];
  const work = async (lane: number): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const { name, run } = job;
      const startedMs = performance.now();
      const said: string[] = [];
      if (atOnce === 1) console.log(`\n— ${name}`);
      results.push(await run(atOnce === 1 ? (text) => process.stdout.write(text) : (text) => said.push(text), lane));
      seconds.set(name, (performance.now() - startedMs) / 1000);
      if (atOnce > 1) process.stdout.write(`\n— ${name}\n${said.join("")}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, index) => work(index + 1)));
}

/** Clusters of files that run at once have different roots (test/support/cluster.ts): one test breaks records that all commands in its root read. */
function fileJob(file: string): Job {
  return {
    name: file,
    run: async (write, lane) => {
      const environment = { ...process.env, NODELESS_TEST_LANE: String(lane) };
      return await runFiles([join(root, file)], { isolation: "process", write, environment });
    },
  };
}

function unitJobs(files: readonly string[]): readonly Job[] {
  return Array.from(
    { length: lanes },
    (_, number): Job => ({
      name: `unit tests ${number + 1}/${lanes}`,
      run: async (write) => {
        const share = shareOf(files, { number, of: lanes }).map((file) => join(root, file));
        const child = spawn(process.execPath, [join(root, "tools/unit-tests.ts"), ...share], {
          cwd: root,
          stdio: ["ignore", "pipe", "pipe", "ipc"],
        });
        let result: TestResult | undefined;
        child.on("message", (message) => (result = message as TestResult));
        const code = await ended(child, write);
        return result ?? failureOf(`unit tests ended with ${code} before they were over`);
      },
    }),
  );
}

const checkJob: Job = {
  name: "checks",
  run: async (write) => {
    const check = spawn(process.execPath, [join(root, "tools/check.ts"), "--without-tests"], { cwd: root });
    return (await ended(check, write)) === 0
      ? { passed: 1, failed: 0, skipped: 0, failures: [] }
      : failureOf("npm run check");
  },
};

/** Makes what tests need and a fresh machine has not. Those that need it say themselves what is wrong with it. */
async function prepare(what: "images" | "go", niceness: number): Promise<void> {
  const program = join(root, "test/support/prepare.ts");
  const preparation = spawn("nice", ["-n", String(niceness), process.execPath, program, what], { cwd: root });
  const startedMs = performance.now();
  const said: string[] = [];
  const code = await ended(preparation, (text) => said.push(text));
  seconds.set(`preparing ${what}`, (performance.now() - startedMs) / 1000);
  if (code !== 0) console.log(`\npreparing ${what} failed:\n${said.join("").slice(-2000)}`);
}

function failureOf(what: string): TestResult {
  return { passed: 0, failed: 1, skipped: 0, failures: [`✖ ${what}`] };
}

async function ended(child: ChildProcess, write: (text: string) => void): Promise<number | NodeJS.Signals> {
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => write(text));
  return await new Promise((resolve) => {
    child.on("error", () => resolve(1));
    child.on("close", (code, signal) => resolve(code ?? signal ?? 1));
  });
}

console.log(`node ${process.version}`);
const plan = planTests(only);
const isWhole = only.length === 0;
const unit = plan.unit.length > 0 ? unitJobs(plan.unit) : [];
const early = [...unit, ...(isWhole ? [checkJob] : []), ...plan.withoutCluster.map(fileJob)];
// Compilers take what others leave: a pod that starts has all of the processor.
const goPrograms = isWhole ? prepare("go", 19) : undefined;
await Promise.all([runJobs(early, lanes), isWhole ? prepare("images", 0) : undefined]);
await Promise.all([runJobs(plan.besideOthers.map(fileJob), lanes), goPrograms]);
await runJobs(plan.alone.map(fileJob), 1);

const { passed, failed, skipped, failures } = sumOf(results);
if (isWhole) console.log("\nnot in this run: test/guest (control groups v2, a reboot): npm run guest");
const slowest = [...seconds].sort(([, a], [, b]) => b - a).slice(0, 10);
console.log(`\nslowest, in seconds of ${((performance.now() - startMs) / 1000).toFixed(0)}:`);
for (const [name, took] of slowest) console.log(`${took.toFixed(1).padStart(7)}  ${name}`);
if (failures.length > 0) console.log(`\nwhat failed:\n${failures.join("\n")}`);
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
