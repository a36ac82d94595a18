/**
 * The API server on the durable store in a process of its own, for benches: what it has used, how long its event loop stood still, and CPU profiles on demand.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { startApiServer } from "./api-server.ts";
import type { Access } from "./frame-client.ts";

/** What the server has used since it was last asked. */
export type Usage = {
  readonly cpuMicros: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Longest time that the event loop stood still, and the 99th percentile, in milliseconds. */
  readonly longestStallMs: number;
  readonly p99StallMs: number;
  /** Most CPU time that its thread took in one turn of the loop: the stall without what a busy machine adds. */
  readonly longestTurnMs: number;
  /** Longest pause of the garbage collector. */
  readonly longestGcMs: number;
};

/** A server in a process of its own. */
export class ApiProcess {
  readonly access: Access;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string, access: Access) {
    this.#child = child;
    this.#folder = folder;
    this.access = access;
  }

  /** Starts it. `BENCH_SERVER_CPU` pins it to a core. */
  static async start(): Promise<ApiProcess> {
    const folder = mkdtempSync(join(tmpdir(), "nodeless-bench-"));
    const child = fork(fileURLToPath(import.meta.url), ["serve", folder]);
    const access = await new Promise<Access>((resolve) =>
      child.once("message", (message) => resolve(message as Access)),
    );
    return new ApiProcess(child, folder, access);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  usage(): Promise<Usage> {
    return this.#ask({ want: "usage" });
  }

  async startProfile(): Promise<void> {
    await this.#ask({ want: "profile" });
  }

  /** Writes what was profiled to a file for a browser's developer tools. */
  async stopProfile(file: string): Promise<void> {
    await this.#ask({ want: "profiled", file });
  }

  stop(): void {
    this.#child.disconnect();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #ask<T>(question: object): Promise<T> {
    this.#child.send(question);
    return new Promise((resolve) => this.#child.once("message", (message) => resolve(message as T)));
  }
}

async function serve(folder: string): Promise<void> {
  const access = await startApiServer(folder);
  answerQuestions();
  process.send?.(access);
  process.on("disconnect", () => process.exit(0));
}

function answerQuestions(): void {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let longestGcMs = 0;
  let longestTurn = 0;
  let thread = process.threadCpuUsage();
  setInterval(() => {
    const { user, system } = process.threadCpuUsage(thread);
    longestTurn = Math.max(longestTurn, user + system);
    thread = process.threadCpuUsage();
  }, 1).unref();
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longestGcMs = Math.max(longestGcMs, duration);
  }).observe({ entryTypes: ["gc"] });
  let cpu = process.cpuUsage();
  const usage = (): Usage => {
    const { user, system } = process.cpuUsage(cpu);
    const { rss, heapUsed } = process.memoryUsage();
    const stalls = { longestStallMs: delay.max / 1e6, p99StallMs: delay.percentile(99) / 1e6, longestGcMs };
    const longestTurnMs = longestTurn / 1000;
    cpu = process.cpuUsage();
    delay.reset();
    longestGcMs = 0;
    longestTurn = 0;
    thread = process.threadCpuUsage();
    return { longestTurnMs, cpuMicros: user + system, residentBytes: rss, heapBytes: heapUsed, ...stalls };
  };
  const session = new Session();
  process.on("message", async (question: { readonly want: string; readonly file?: string }) => {
    if (question.want === "usage") process.send?.(usage());
    if (question.want === "profile") {
      session.connect();
      await session.post("Profiler.enable");
      await session.post("Profiler.setSamplingInterval", { interval: 500 });
      await session.post("Profiler.start");
      process.send?.({});
    }
    if (question.want === "profiled") {
      const { profile } = await session.post("Profiler.stop");
      writeFileSync(question.file ?? "server.cpuprofile", JSON.stringify(profile));
      session.disconnect();
      process.send?.({});
    }
  });
}

if (process.argv[2] === "serve" && process.argv[1] === fileURLToPath(import.meta.url))
  await serve(process.argv[3] ?? "");
