/**
 * Gives back the memory of LMDB's map. Every page of the file that was ever touched stays mapped and counts as this process's memory, up to the size of the file,
 * although it is only the kernel's file cache. Letting go costs a page fault on the next touch; what is in the file cache stays there.
 */
import { readFileSync, realpathSync } from "node:fs";
import { type Clock, systemClock, type Timer } from "#component-base/clock.ts";
import type { Libc } from "#store/lmdb/libc.ts";

/** What may stay mapped while the store is at work: more is let go in its next pause, for that takes some milliseconds, which whoever waits for a write would feel. */
const KEPT_BYTES = 16 << 20;
const PAUSE_MS = 200;
/** Where no pause comes, this is most. */
const MOST_BYTES = 32 << 20;
/** Most that may stay mapped so long after something was touched: a store at rest is in the file cache alone. */
const RESTING_BYTES = 1 << 20;
const REST_MS = 10_000;
/** How much is touched between two looks. A page that is touched brings the fifteen around it along (the kernel's fault_around_bytes), so this may be 8 MiB of the map. */
const LOOK_BYTES = 512 << 10;
const PAGE_BYTES = 4096;

/** The map of one file. */
export class MappedMemory {
  readonly #file: string;
  readonly #libc: Libc;
  readonly #clock: Clock;
  readonly #mappedBytes: () => number;
  #touchedBytes = 0;
  /** What was mapped of all files when this one's map had just been let go. */
  #floorBytes: number;
  #isWriting = false;
  #timer: Timer | undefined;
  #pauseTimer: Timer | undefined;
  #touchedAtMs = 0;

  /** `mappedBytes` says how much of all files is mapped and in memory. */
  constructor(file: string, libc: Libc, options: { readonly clock?: Clock; readonly mappedBytes?: () => number } = {}) {
    this.#file = file;
    this.#libc = libc;
    this.#clock = options.clock ?? systemClock;
    this.#mappedBytes = options.mappedBytes ?? mappedByProcess;
    this.#floorBytes = this.#mappedBytes();
  }

  /** Says that about so many bytes of the file were read or written. */
  touched(bytes: number): void {
    this.#touchedBytes += bytes;
    this.#touchedAtMs = this.#clock.now();
    this.#timer ??= this.#clock.setTimer(REST_MS, () => this.#rest());
    if (this.#isWriting || this.#touchedBytes < LOOK_BYTES) return;
    this.#touchedBytes = 0;
    const mappedBytes = this.#mappedBytes() - this.#floorBytes;
    if (mappedBytes >= MOST_BYTES) this.#release();
    else if (mappedBytes >= KEPT_BYTES) this.#awaitPause();
  }

  /** Says whether a transaction writes: LMDB may move the map then, so nothing is let go. */
  set isWriting(isWriting: boolean) {
    this.#isWriting = isWriting;
  }

  /** The file is closed. */
  stop(): void {
    this.#timer?.clear();
    this.#pauseTimer?.clear();
  }

  #awaitPause(): void {
    this.#pauseTimer ??= this.#clock.setTimer(PAUSE_MS, () => {
      this.#pauseTimer = undefined;
      if (this.#isWriting || this.#clock.now() - this.#touchedAtMs < PAUSE_MS) this.#awaitPause();
      else this.#keep(KEPT_BYTES);
    });
  }

  #rest(): void {
    this.#timer = undefined;
    if (this.#isWriting) this.#timer = this.#clock.setTimer(REST_MS, () => this.#rest());
    else this.#keep(RESTING_BYTES);
  }

  #keep(keptBytes: number): void {
    if (this.#mappedBytes() < this.#floorBytes + keptBytes) return;
    this.#release();
  }

  /** Looks the map up each time: LMDB moves it when it grows, and letting go of somebody else's memory would lose what is in it. */
  #release(): void {
    const path = realpathSync(this.#file);
    for (const line of readFileSync("/proc/self/maps", "utf8").split("\n")) {
      const found = /^([0-9a-f]+)-([0-9a-f]+) r..s .{6,} \d+ +(\/.*)$/.exec(line);
      if (!found || found[3] !== path) continue;
      const [start, end] = [BigInt(`0x${found[1]}`), BigInt(`0x${found[2]}`)];
      this.#libc.letGoOfMap(start, end - start);
    }
    this.#floorBytes = this.#mappedBytes();
  }
}

/** Of this process: the third number of statm, pages of files and of shared memory. */
function mappedByProcess(): number {
  return Number(readFileSync("/proc/self/statm", "latin1").split(" ")[2]) * PAGE_BYTES;
}
