/**
 * Room on the disk and in the store's bound. While there is plenty, a reserve file holds some of the disk; when the disk is full, the reserve
 * is given up, and then only writes that make room, or that take little of it, are let through: deletes, and for a while changes of what exists
 * (Kubernetes deletes by changing first). When the disk has room again, the reserve is taken again and everything is allowed.
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

/** What {@link Room} works with. */
export type RoomOptions = {
  readonly reserve: Reserve;
  readonly database: Pick<LmdbDatabase, "usedBytes">;
  readonly maxBytes: number;
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

  constructor(options: RoomOptions) {
    this.#options = options;
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
    return true;
  }

  /** Called after each commit: notices when the bound is reached. */
  afterCommit(): void {
    if (this.#level !== "plenty" || ++this.#commits % COMMITS_BETWEEN_LOOKS !== 0 || this.#isWithinBound()) return;
    const { maxBytes } = this.#options;
    this.#tighten("tight", new StoreFull(`the store has reached its largest size of ${maxBytes} bytes`));
  }

  #lookForRoom(): void {
    if (this.#level === "plenty" || this.#options.clock.now() < this.#lookedAtMs + LOOK_EVERY_MS) return;
    this.#lookedAtMs = this.#options.clock.now();
    if (!this.#isWithinBound() || !this.#options.reserve.take()) return;
    this.#level = "plenty";
    this.#options.logger.info("Found room again, the store takes all writes");
  }

  #isWithinBound(): boolean {
    return this.#options.database.usedBytes() < this.#options.maxBytes;
  }

  #tighten(level: Level, error: StoreFull): void {
    this.#level = level;
    this.#full = error;
    this.#lookedAtMs = this.#options.clock.now();
    this.#options.logger.error("Ran out of room, the store refuses writes", { level, reason: error.message });
  }
}
