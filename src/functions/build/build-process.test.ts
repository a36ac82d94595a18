import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { type BuildBounds, runBuild } from "./build-process.ts";
import type { BuildJob, BuildOutcome } from "./job.ts";

const usual: BuildBounds = { timeoutMs: 20_000, memoryBytes: 1 << 30, outputBytes: 1 << 20 };

describe("the process of a build", () => {
  const workRoot = mkdtempSync(join(tmpdir(), "nl-build-"));
  after(() => rmSync(workRoot, { recursive: true }));
  const run = async (
    script: string,
    {
      bounds = {},
      signal = new AbortController().signal,
    }: { readonly bounds?: Partial<BuildBounds>; readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly outcome: BuildOutcome; readonly lines: readonly string[] }> => {
    const lines: string[] = [];
    const program = [
      process.execPath,
      "-e",
      `const tell = (it) => require("fs").writeSync(1, JSON.stringify(it) + "\\n"); ${script}`,
    ] as const;
    const options = { program, workRoot, bounds: { ...usual, ...bounds }, clock: systemClock } as const;
    const job = { repository: "functions/x" } as unknown as Omit<BuildJob, "work">;
    const outcome = await runBuild(job, options, { listener: { onLine: (line) => lines.push(line) }, signal });
    return { outcome, lines };
  };
  const reasonOf = ({ outcome }: { readonly outcome: BuildOutcome }) =>
    "failure" in outcome ? outcome.failure.reason : "";

  it("gets the job and a folder of its own, which goes with it", async () => {
    const { outcome, lines } = await run(`const job = JSON.parse(require("fs").readFileSync(0, "utf8"));
      tell({ line: job.work }); tell({ image: job.repository });`);

    assert.deepEqual(outcome, { image: "functions/x" });
    assert.ok(lines[0]?.startsWith(workRoot));
    assert.equal(existsSync(lines[0] ?? ""), false);
  });

  it("is ended when it takes too long, with all that it started", async () => {
    const result = await run(
      `const child = require("child_process").spawn("sleep", ["60"]); tell({ line: String(child.pid) }); for (;;);`,
      { bounds: { timeoutMs: 300 } },
    );

    assert.equal(reasonOf(result), "BuildTimedOut");
    assert.equal(isRunning(Number(result.lines[0])), false);
  });

  it("is ended when it or what it started takes too much memory", async () => {
    const bounds = { memoryBytes: 192 << 20 };
    const eat = "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1));";
    const own = await run(eat, { bounds });
    const child = await run(`require("child_process").spawnSync(process.execPath, ["-e", ${JSON.stringify(eat)}]);`, {
      bounds,
    });

    assert.deepEqual([reasonOf(own), reasonOf(child)], ["BuildOutOfMemory", "BuildOutOfMemory"]);
  });

  it("may say so much, and what else it is heard of", async () => {
    const { outcome, lines } = await run(
      `for (let i = 0; i < 1000; i++) tell({ line: "x".repeat(100) }); tell({ image: "a" });`,
      {
        bounds: { outputBytes: 1000 },
      },
    );

    assert.deepEqual(outcome, { image: "a" });
    assert.equal(lines.length, 10);
    assert.match(lines.at(-1) ?? "", /left out/);
  });

  it("that ends without an outcome is a crash, with its last words", async () => {
    const { outcome } = await run(`throw new Error("no such thing");`);

    assert.match("failure" in outcome ? outcome.failure.message : "", /ended with exit code 1: [^]*no such thing/);
  });

  it("is ended when nobody wants it any more", async () => {
    const abort = new AbortController();
    const building = run("for (;;);", { signal: abort.signal });
    setTimeout(() => abort.abort(new Error("newer inputs")), 100);

    await assert.rejects(building, /newer inputs/);
    assert.deepEqual(readdirSync(workRoot), []);
  });
});

function isRunning(pid: number): boolean {
  try {
    // One that has ended and whose parent has not heard of it yet does not run.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
