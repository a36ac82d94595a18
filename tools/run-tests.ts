/**
 * All tests, in order: the checks without unit tests, the unit tests in one process, then end-to-end and conformance files one after another, a process each
 * (the machine's network and cgroups are theirs alone). Those that need a guest system run only when they are named (`npm run guest`): emulated, they take longer
 * than all others together. What failed is told once more at the end; the last line is "N passed, N failed".
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { setTimeout as sleep } from "node:timers/promises";

const root = resolve(import.meta.dirname, "..");
/** Longer than any one unit test. */
const stalledMs = 120_000;
const totals = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];

function filesUnder(folder: string, pattern: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => pattern.test(name))
    .map((name) => join(root, folder, name))
    .sort();
}

async function runFiles(files: readonly string[], isolation: "none" | "process"): Promise<void> {
  if (files.length === 0) return;
  const stream = run({
    files,
    isolation,
    concurrency: 1,
    cwd: root,
    forceExit: isolation === "process",
    timeout: 15 * 60_000,
  });
  stream.on("test:pass", (event) => {
    if (event.details.type === "suite") return;
    if (event.skip) totals.skipped += 1;
    else totals.passed += 1;
  });
  stream.on("test:fail", (event) => {
    if (event.details.type === "suite") return;
    totals.failed += 1;
    failures.push(`✖ ${relative(root, event.file ?? "")}: ${event.name}\n${indented(event.details.error)}`);
  });
  const output = stream.compose(spec);
  const stalled = isolation === "none" ? endWhenStalled(stream) : undefined;
  for await (const chunk of stalled === undefined ? output : untilEnd(output, stalled))
    process.stdout.write(chunk as string);
}

/** Tests in this process are over when nothing is left that could go on: whatever one of them left open would keep all others waiting. */
async function endWhenStalled(stream: NodeJS.EventEmitter): Promise<void> {
  let lastMs = Date.now();
  for (const event of ["test:pass", "test:fail", "test:start"]) stream.on(event, () => (lastMs = Date.now()));
  let isOver = false;
  stream.on("end", () => (isOver = true));
  while (!isOver && Date.now() - lastMs < stalledMs) await sleep(1000, undefined, { ref: false });
  if (isOver) return;
  totals.failed += 1;
  failures.push(
    `✖ unit tests: nothing happened for ${stalledMs / 1000} s; open: ${process.getActiveResourcesInfo().join(", ")}`,
  );
}

async function* untilEnd(output: AsyncIterable<unknown>, end: Promise<void>): AsyncGenerator<unknown> {
  const chunks = output[Symbol.asyncIterator]();
  for (;;) {
    const next = await Promise.race([chunks.next(), end.then(() => ({ done: true as const, value: undefined }))]);
    if (next.done === true) return;
    yield next.value;
  }
}

function indented(error: Error): string {
  const { cause } = error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause ?? error.message);
  return text.slice(0, 2_000).replaceAll(/^/gm, "  ");
}

console.log(`node ${process.version}`);
const only = process.argv.slice(2);
const unit = [...filesUnder("src", /\.test\.ts$/), ...filesUnder("tools", /\.test\.ts$/)];
const endToEnd = [...filesUnder("src", /\.e2e\.ts$/), ...filesUnder("test", /\.(test|e2e)\.ts$/)];
const chosen = (files: readonly string[]) =>
  files.filter((file) =>
    only.length === 0 ? !file.includes("/test/guest/") : only.some((part) => file.includes(part)),
  );

if (only.length === 0) {
  const { status } = spawnSync(process.execPath, [join(root, "tools/check.ts"), "--without-tests"], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) totals.failed += 1;
  else totals.passed += 1;
}
await runFiles(chosen(unit), "none");
for (const file of chosen(endToEnd)) {
  console.log(`\n— ${relative(root, file)}`);
  await runFiles([file], "process");
}
if (only.length === 0) console.log("\nnot in this run: test/guest (control groups v2, a reboot): npm run guest");
if (failures.length > 0) console.log(`\nwhat failed:\n${failures.join("\n")}`);
if (totals.skipped > 0) console.log(`${totals.skipped} skipped`);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exit(totals.failed === 0 && totals.passed > 0 ? 0 : 1);
