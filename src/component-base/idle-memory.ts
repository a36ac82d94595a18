/**
 * Gives back memory that a process used for a while. After a burst of work two parties keep most of it: V8 the pages of a heap that has shrunk, malloc the gaps between what is left.
 *
 * V8 would let go of them by itself, in small steps, some seconds after the work: but it looks at how much was allocated before the last collection, and in an idle process there is no
 * further one. A collection of the young generation, a few milliseconds, tells it so. It also stops looking after some attempts, until the next full collection: where the heap is still
 * wide after a while there is one, as any other under load. (V8's last-resort collection does it all at once, and stops the process for 50 to 460 ms.)
 * malloc is told to give back whole free pages; that takes about as long, and next to nothing when there are none.
 */
import { createRequire } from "node:module";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock, Timer } from "./clock.ts";
import type { Service } from "./life-cycle.ts";

/** How often it is looked whether something goes on. */
const PERIOD_MS = 10_000;
/** Less than this share of a core over one period is idle. */
const IDLE_SHARE = 0.05;
/** Since the process settled: growth that is worth the work, or work after which it is looked again, of which a quiet process does as much in five minutes. */
const GROWTH_BYTES = 8 << 20;
const WORK_MS = 3000;
/** Idle periods until V8 has done its part: it begins after 8 seconds, and what it frees may be malloc's. */
const SETTLING_PERIODS = 5;
/** One period later it should have begun, if it does. */
const REMINDER_AT = SETTLING_PERIODS - 1;
/** More than this of a heap that is not in use is wide. */
const WIDE_BYTES = 12 << 20;

/** What is asked of the process. {@link processMemory} is the real one. */
export interface ProcessMemory {
  /** CPU time used so far, in milliseconds. */
  cpuMs(): number;
  /** Resident memory in bytes. */
  residentBytes(): number;
  /** Bytes of V8's heap in which nothing is. */
  unusedHeapBytes(): number;
  /** Collects garbage: of the young generation, or all. */
  collect(type: "minor" | "major"): void;
  /** Gives free pages of malloc back to the system. */
  trimFree(): void;
}

/** This process. */
export function processMemory(): ProcessMemory {
  let collect: ((options: object) => void) | undefined;
  let trim: (() => void) | undefined;
  return {
    cpuMs() {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    residentBytes: () => process.memoryUsage.rss(),
    unusedHeapBytes() {
      const { total_physical_size, used_heap_size } = getHeapStatistics();
      return total_physical_size - used_heap_size;
    },
    collect(type) {
      collect ??= exposedCollector();
      collect({ type, execution: "sync" });
    },
    trimFree() {
      trim ??= loadTrim();
      trim();
    },
  };
}

// The flag counts for contexts that are made after it is set.
function exposedCollector(): (options: object) => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as (options: object) => void;
}

// Only glibc has it.
function loadTrim(): () => void {
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const trim = koffi.load(null).func("int malloc_trim(size_t)") as (pad: number) => number;
    return () => void trim(0);
  } catch {
    return () => {};
  }
}

/** Watches one process. */
export class IdleMemory implements Service {
  readonly #clock: Clock;
  readonly #memory: ProcessMemory;
  #timer: Timer | undefined;
  #cpuMs = 0;
  #settledBytes = 0;
  #settledCpuMs = 0;
  /** Idle periods that are left until it counts as settled. */
  #settling = 0;

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
    if (this.#cpuMs - before > PERIOD_MS * IDLE_SHARE) {
      // What was begun is of no use: V8 takes the process for a busy one again.
      this.#settling = 0;
      return;
    }
    if (this.#settling === 0) {
      if (!this.#isLoose()) return;
      this.#settling = SETTLING_PERIODS;
    }
    const isStuck = this.#settling === REMINDER_AT && this.#memory.unusedHeapBytes() > WIDE_BYTES;
    this.#memory.collect(isStuck ? "major" : "minor");
    this.#memory.trimFree();
    this.#settling--;
    if (this.#settling > 0) return;
    this.#settledBytes = this.#memory.residentBytes();
    this.#settledCpuMs = this.#cpuMs;
  }

  // A process may have settled in a pause of its work, with all that the work needed: so growth alone does not tell.
  #isLoose(): boolean {
    if (this.#memory.residentBytes() >= this.#settledBytes + GROWTH_BYTES) return true;
    return this.#cpuMs - this.#settledCpuMs >= WORK_MS;
  }
}
