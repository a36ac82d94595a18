/**
 * Room on the disk and in the store's bound. While there is plenty, a reserve file holds some of the disk; when the disk is full, the reserve
 * is given up, and then only writes that make room, or that take little of it, are let through: deletes, and for a while changes of what exists
 * (Kubernetes deletes by changing first). When the disk has room again, or LMDB's file has enough free pages in it (it never shrinks), everything
 * is allowed again.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { LmdbDatabase } from "#store/lmdb/database.ts";
import { type StoreEntry, StoreFull, type WriteOperation } from "#store/store.ts";

/** Something that holds disk space. */
export interface Reserve {
  /** Takes the space; false when the disk has none. May be called while it is held. */
  take(): boolean;
  /** Frees the space. May be called twice. */
  release(): void;
}

/** plenty: everything; tight: nothing new; deletesOnly: deletes. */
type Level = "plenty" | "tight" | "deletesOnly";

/** How often a store without room looks whether there is some again. */
const LOOK_EVERY_MS = 1000;
/** Commits between two looks at the bound. */
const COMMITS_BETWEEN_LOOKS = 16;

/** Changes of what exists are let through until the store is this much over its bound: lmdb-js would make the file as large as it takes. */
const HEADROOM_BYTES = 16 << 20;

/** What {@link Room} works with. */
export type RoomOptions = {
  readonly reserve: Reserve;
  readonly isReserveHeld: boolean;
  readonly database: Pick<LmdbDatabase, "space">;
  readonly maxBytes: number;
  readonly reserveBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Decides which writes there is room for. */
export class Room {
  readonly #options: RoomOptions;
  #level: Level = "plenty";
  #full: StoreFull | undefined;
  #commits = 0;
  #lookedAtMs = 0;
  #isReserveHeld: boolean;

  constructor(options: RoomOptions) {
    this.#options = options;
    this.#isReserveHeld = options.isReserveHeld;
  }

  /** Why there is no room for this write, or undefined. `found` are the entries that stand at its keys. */
  refusal(operations: readonly WriteOperation[], found: readonly (StoreEntry | undefined)[]): StoreFull | undefined {
    this.#lookForRoom();
    if (this.#level === "plenty") return undefined;
    const isAllowed = (value: Uint8Array | undefined, current: StoreEntry | undefined): boolean =>
      value === undefined || (this.#level === "tight" && current !== undefined);
    if (operations.every(({ value }, i) => isAllowed(value, found[i]))) return undefined;
    return new StoreFull(`${this.#full!.message}; there is room for deletes only`, { cause: this.#full });
  }

  /** Called when a commit found no room. True when it is worth trying again. */
  giveUpReserve(error: StoreFull): boolean {
    if (this.#level === "deletesOnly") return false;
    this.#tighten(this.#level === "plenty" ? "tight" : "deletesOnly", error);
    this.#options.reserve.release();
    this.#isReserveHeld = false;
    return true;
  }

  /** Called after each commit: notices when the bound is reached, or what there is instead of a reserve is used up. */
  afterCommit(): void {
    if (this.#level === "deletesOnly" || ++this.#commits % COMMITS_BETWEEN_LOOKS !== 0) return;
    const { maxBytes, reserveBytes, database } = this.#options;
    const { usedBytes, freeBytes } = database.space();
    const isFarOver = usedBytes >= maxBytes + HEADROOM_BYTES;
    if (isFarOver || (this.#level === "plenty" && usedBytes >= maxBytes)) {
      const full = new StoreFull(`the store has reached its largest size of ${maxBytes} bytes`);
      this.#tighten(isFarOver ? "deletesOnly" : "tight", full);
    } else if (this.#level === "plenty" && !this.#isReserveHeld && freeBytes < reserveBytes) {
      this.#tighten("tight", new StoreFull("the disk is full"));
    }
  }

  #lookForRoom(): void {
    const { clock, logger, maxBytes, reserveBytes, reserve, database } = this.#options;
    if (this.#level === "plenty" || clock.now() < this.#lookedAtMs + LOOK_EVERY_MS) return;
    this.#lookedAtMs = clock.now();
    const { usedBytes, freeBytes } = database.space();
    if (usedBytes >= maxBytes) return;
    this.#isReserveHeld = reserve.take();
    // Twice as much as makes it tight again, so that the level does not flutter.
    if (!this.#isReserveHeld && freeBytes < 2 * reserveBytes) return;
    this.#level = "plenty";
    logger.info("Found room again, the store takes all writes");
  }

  #tighten(level: Level, error: StoreFull): void {
    this.#level = level;
    this.#full = error;
    this.#lookedAtMs = this.#options.clock.now();
    this.#options.logger.error("Ran out of room, the store refuses writes", { level, reason: error.message });
  }
}
