/**
 * Runs test files through node:test, and counts. Unit tests share one process (`isolation: "none"`): whatever one of them left open would keep all others waiting, so when nothing goes on any more
 * they are over. End-to-end files have a process each.
 */
import { relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "./test-plan.ts";

/** What became of a file, or of several. */
export type TestResult = {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** What failed, and why. */
  readonly failures: readonly string[];
};

/** How to run them, and who hears what they say. */
export type RunOptions = {
  readonly isolation: "none" | "process";
  readonly write: (text: string) => void;
  /** Of the processes; with `isolation: "process"` only. */
  readonly environment?: NodeJS.ProcessEnv;
};

/** Longer than any one unit test. */
const stalledMs = 120_000;

/** Runs them one after another. */
export async function runFiles(files: readonly string[], options: RunOptions): Promise<TestResult> {
  const { isolation, write, environment } = options;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const failures: string[] = [];
  const stream = run({
    files: [...files],
    isolation,
    concurrency: 1,
    cwd: root,
    forceExit: isolation === "process",
    timeout: 15 * 60_000,
    ...(environment && { env: environment }),
  });
  stream.on("test:pass", (event) => {
    if (event.details.type === "suite") return;
    if (event.skip) counts.skipped += 1;
    else counts.passed += 1;
  });
  stream.on("test:fail", (event) => {
    if (event.details.type === "suite") return;
    counts.failed += 1;
    failures.push(`✖ ${relative(root, event.file ?? "")}: ${event.name}\n${indented(event.details.error)}`);
  });
  const output = stream.compose(spec);
  if (isolation === "process") for await (const chunk of output) write(String(chunk));
  else {
    const stall = watchForStall(stream);
    for await (const chunk of untilEnd(output, stall.noticed)) write(String(chunk));
    if (stall.isThere()) {
      counts.failed += 1;
      const open = process.getActiveResourcesInfo().join(", ");
      failures.push(`✖ unit tests: nothing happened for ${stalledMs / 1000} s; open: ${open}`);
    }
  }
  return { ...counts, failures };
}

/** All of them together. */
export function sumOf(results: readonly TestResult[]): TestResult {
  const total = (count: (result: TestResult) => number) => results.reduce((sum, result) => sum + count(result), 0);
  return {
    passed: total(({ passed }) => passed),
    failed: total(({ failed }) => failed),
    skipped: total(({ skipped }) => skipped),
    failures: results.flatMap(({ failures }) => failures),
  };
}

/** Tests in this process are over when nothing is left that could go on. */
function watchForStall(stream: NodeJS.EventEmitter): {
  readonly noticed: Promise<void>;
  readonly isThere: () => boolean;
} {
  let lastMs = Date.now();
  for (const event of ["test:pass", "test:fail", "test:start"]) stream.on(event, () => (lastMs = Date.now()));
  let isThere = false;
  const watch = async (): Promise<void> => {
    while (Date.now() - lastMs < stalledMs) await sleep(1000, undefined, { ref: false });
    isThere = true;
  };
  return { noticed: watch(), isThere: () => isThere };
}

async function* untilEnd(output: AsyncIterable<unknown>, end: Promise<unknown>): AsyncGenerator<unknown> {
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
