/**
 * Gives back the memory of LMDB's map. Every page of the file that was ever touched stays mapped and counts as this process's memory, up to the size of the file,
 * although it is only the kernel's file cache. Letting go costs a page fault on the next touch; what is in the file cache stays there.
 */
import { readFileSync, realpathSync } from "node:fs";
import type { Libc } from "#store/lmdb/libc.ts";

/** Most that may be touched before the map is let go. */
const KEPT_BYTES = 16 << 20;

/** The map of one file. */
export class MappedMemory {
  readonly #file: string;
  readonly #libc: Libc;
  #touchedBytes = 0;

  constructor(file: string, libc: Libc) {
    this.#file = file;
    this.#libc = libc;
  }

  /** Says that about so many bytes of the file were read or written. Must be called between transactions only. */
  touched(bytes: number): void {
    this.#touchedBytes += bytes;
    if (this.#touchedBytes < KEPT_BYTES) return;
    this.#touchedBytes = 0;
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
  }
}
