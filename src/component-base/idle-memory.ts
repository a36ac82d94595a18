/**
 * Gives back memory that a process used for a while. After a burst of work two parties keep most of it: V8 the pages of a heap that has shrunk, malloc the gaps between what is left.
 *
 * V8 puts the pages that a collection frees aside, tens of MB that no statistic counts, and lets go of them in one kind of collection alone: that of its memory reducer. This one works some seconds after a burst, but
 * not if it thinks that much is still allocated, and not again before the old generation has outgrown what it was then. So it is done here, in an idle process: marked in small steps, then compacted in one.
 * (V8's last-resort collection, which JavaScript could ask for plainly, stops the process for several such times.) malloc is told to give back whole free pages; that takes next to nothing when there are none.
 */
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
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
/** Work after which malloc is asked once more. A process that settled in a pause has gaps that no growth tells of: those who keep things for a while let go of them later. */
const TRIM_WORK_MS = 250;
/**
 * Idle periods until it counts as settled: the young generation is collected, then all, then what that freed is malloc's to give back. All is not collected before half a minute: by then caches have let go of
 * what nobody asks for.
 */
const SETTLING_PERIODS = 4;
const REDUCED_AT = SETTLING_PERIODS - 2;

/** What is asked of the process. {@link processMemory} is the real one. */
export interface ProcessMemory {
  /** CPU time used so far, in milliseconds. */
  cpuMs(): number;
  /** Resident memory in bytes. */
  residentBytes(): number;
  /** Collects the garbage of the young generation. */
  collectYoung(): void;
  /** Begins to collect all garbage and to give back every page in which nothing is left; it goes on between other work. */
  reduceHeap(): void;
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
    collectYoung() {
      collect ??= exposedCollector();
      collect({ type: "minor", execution: "sync" });
    },
    // The first flag makes a collection that begins now a reducing one, the second makes it begin with the next of the young generation. Both are asked for at that moment only.
    reduceHeap() {
      setFlagsFromString("--memory-saver-mode");
      setFlagsFromString("--stress-incremental-marking");
      try {
        this.collectYoung();
      } finally {
        setFlagsFromString("--no-stress-incremental-marking");
        setFlagsFromString("--no-memory-saver-mode");
      }
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
  #trimmedCpuMs = 0;
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
      // What was begun is of no use: there is new garbage.
      this.#settling = 0;
      return;
    }
    if (this.#settling === 0) {
      if (!this.#isLoose()) return this.#trimAfterWork();
      this.#settling = SETTLING_PERIODS;
    }
    if (this.#settling === REDUCED_AT) this.#memory.reduceHeap();
    else this.#memory.collectYoung();
    this.#trim();
    this.#settling--;
    if (this.#settling > 0) return;
    this.#settledBytes = this.#memory.residentBytes();
    this.#settledCpuMs = this.#cpuMs;
  }

  #trimAfterWork(): void {
    if (this.#cpuMs - this.#trimmedCpuMs >= TRIM_WORK_MS) this.#trim();
  }

  #trim(): void {
    this.#memory.trimFree();
    this.#trimmedCpuMs = this.#cpuMs;
  }

  // A process may have settled in a pause of its work, with all that the work needed: so growth alone does not tell.
  #isLoose(): boolean {
    if (this.#memory.residentBytes() >= this.#settledBytes + GROWTH_BYTES) return true;
    return this.#cpuMs - this.#settledCpuMs >= WORK_MS;
  }
}
