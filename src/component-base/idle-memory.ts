/**
 * Gives back memory that a process used for a while. V8 keeps the pages of a heap that has shrunk, for good: after a burst of writes they are more than everything that is in
 * use. Only its last-resort collection lets go of them, and that stops the process for as long as marking its heap takes, several times over: so it is run when nothing goes on,
 * and again only when the process has grown.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock, Timer } from "./clock.ts";
import type { Service } from "./life-cycle.ts";

/** How often it is looked whether something goes on. */
const PERIOD_MS = 10_000;
/** Less than this share of a core over one period is idle. */
const IDLE_SHARE = 0.05;
/** Growth since the last collection that is worth another one. */
const GROWTH_BYTES = 32 << 20;

/** What is asked of the process. {@link processMemory} is the real one. */
export interface ProcessMemory {
  /** CPU time used so far, in milliseconds. */
  cpuMs(): number;
  /** Resident memory in bytes. */
  residentBytes(): number;
  /** Collects garbage and gives free pages back. */
  giveBack(): void;
}

/** This process. */
export function processMemory(): ProcessMemory {
  let collect: ((options: object) => void) | undefined;
  return {
    cpuMs() {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    residentBytes: () => process.memoryUsage.rss(),
    giveBack() {
      collect ??= exposedCollector();
      collect({ type: "major", execution: "sync", flavor: "last-resort" });
    },
  };
}

// The flag counts for contexts that are made after it is set.
function exposedCollector(): (options: object) => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as (options: object) => void;
}

/** Watches one process. */
export class IdleMemory implements Service {
  readonly #clock: Clock;
  readonly #memory: ProcessMemory;
  #timer: Timer | undefined;
  #cpuMs = 0;
  #settledBytes = 0;

  constructor(clock: Clock, memory: ProcessMemory = processMemory()) {
    this.#clock = clock;
    this.#memory = memory;
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#cpuMs = this.#memory.cpuMs();
    this.#wait();
  }

  async stop(): Promise<void> {
    this.#timer?.clear();
  }

  #wait(): void {
    this.#timer = this.#clock.setTimer(PERIOD_MS, () => {
      this.#look();
      this.#wait();
    });
  }

  #look(): void {
    const before = this.#cpuMs;
    this.#cpuMs = this.#memory.cpuMs();
    if (this.#cpuMs - before > PERIOD_MS * IDLE_SHARE) return;
    if (this.#memory.residentBytes() < this.#settledBytes + GROWTH_BYTES) return;
    this.#memory.giveBack();
    this.#settledBytes = this.#memory.residentBytes();
  }
}
