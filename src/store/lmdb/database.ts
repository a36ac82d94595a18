/**
 * The one place that speaks to LMDB: three tables in one file, synchronous reads, one commit at a time.
 *
 *   current: key → the entry as it is now
 *   log:     revision → what that revision changed, with the entries as they were before
 *   state:   the counters
 *
 * Commits run in a thread of lmdb-js and resolve after LMDB's own two syncs (data, then the meta page that makes it count). lmdb-js would by
 * default sync later (`overlappingSync`); that is off, it was not faster and a half-synced file needs repair after a power cut.
 */
import { statfsSync } from "node:fs";
import { type Database as Table, open, type RootDatabase } from "lmdb";
import {
  type Allocate,
  type ChangeVisitor,
  DamagedRecord,
  decodeEntry,
  decodeLog,
  decodeState,
  encodeEntry,
  encodeLog,
  encodeState,
  type LogRecord,
  type State,
} from "#store/lmdb/records.ts";
import { type StoreEntry, StoreFull, StoreUnusable } from "#store/store.ts";

/** What one commit writes: all of it or nothing. */
export type Commit = {
  /** New entries; undefined removes the key. */
  readonly entries: ReadonlyMap<string, StoreEntry | undefined>;
  readonly log: readonly LogRecord[];
  /** Log records to remove: from the first up to and with the second. */
  readonly dropLog: { readonly from: number; readonly to: number } | undefined;
  readonly state: State;
};

/** Rows to read: keys from `start` on that begin with `prefix`. */
export type Rows = { readonly prefix: string; readonly start: string; readonly limit: number };

/** How to open the file. */
export type DatabaseOptions = {
  /** How much of the address space is set aside; lmdb-js takes more when that is not enough. */
  readonly maxBytes: number;
  readonly isReadOnly?: boolean;
  /** Hears what of the file was read or written, and when. */
  readonly memory?: MapUser;
};

/** Who watches over the memory of the file's map. */
export interface MapUser {
  /** So many bytes of the file were read or written. */
  touched(bytes: number): void;
  /** Set while a transaction writes. */
  isWriting: boolean;
  /** The file was closed. */
  stop(): void;
}

type Bytes = Table<Buffer, Buffer>;

const ARENA_BYTES = 256 << 10;
/** Most bytes that are read at one go. */
const SLICE_BYTES = 2 << 20;
const PAGE_BYTES = 4096;
const STATE_KEY = "state";
/** A disk with less than this is taken for full: more than the largest commit needs. */
const FULL_BELOW_BYTES = 32 << 20;
const EIO = 5;
const ENOSPC = 28;
const EDQUOT = 122;
const MDB_MAP_FULL = -30792;

/** The open file. Not made for two owners: the folder's lock comes first. */
export class LmdbDatabase {
  readonly #file: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #current: Bytes;
  readonly #log: Bytes;
  readonly #memory: MapUser;
  #arena: Buffer = Buffer.allocUnsafeSlow(ARENA_BYTES);
  #arenaUsed = 0;
  #committedBytes = 0;

  private constructor(file: string, root: RootDatabase<Buffer, Buffer>, memory: MapUser) {
    this.#file = file;
    this.#memory = memory;
    this.#root = root;
    this.#current = root.openDB("current", { keyEncoder: textKeys, encoder: rawValues } as object);
    this.#log = root.openDB("log", { keyEncoder: revisionKeys, encoder: rawValues } as object);
  }

  /** Opens the file, or makes it. */
  static open(file: string, options: DatabaseOptions): LmdbDatabase {
    const root = open<Buffer, Buffer>({
      path: file,
      noSubdir: true,
      mapSize: options.maxBytes,
      overlappingSync: false,
      // Commits are grouped by the commit queue. With lmdb-js's own grouping on top, a failed commit also rejects a promise that nobody holds.
      eventTurnBatching: false,
      txnStartThreshold: 1,
      readOnly: options.isReadOnly ?? false,
      keyEncoder: textKeys,
      encoder: rawValues,
    } as Parameters<typeof open>[0]);
    return new LmdbDatabase(file, root, options.memory ?? nobody);
  }

  /** The counters, or undefined in a new file. */
  readState(): State | undefined {
    const record = this.#root.getBinaryFast(STATE_KEY as never);
    return (
      record &&
      named(
        () => "the counters",
        () => decodeState(record),
      )
    );
  }

  /** The entry of a key, newest in the file. */
  readEntry(key: string): StoreEntry | undefined {
    const record = this.#current.getBinaryFast(key as never);
    if (!record) return undefined;
    this.#memory.touched(PAGE_BYTES);
    return named(
      () => `key ${JSON.stringify(key)}`,
      () => decodeEntry(key, record),
    );
  }

  /** True when the file has the key. */
  hasEntry(key: string): boolean {
    return this.#current.getBinaryFast(key as never) !== undefined;
  }

  /** The entries of these rows, in order; `isEnd` when there are no more. Stops early where values are large. */
  readEntries({ prefix, start, limit }: Rows): { readonly entries: StoreEntry[]; readonly isEnd: boolean } {
    const entries: StoreEntry[] = [];
    let bytes = 0;
    let key = start;
    const read = named(keyName, () => {
      for (const row of this.#current.getRange({ ...bounds(prefix, start), limit })) {
        key = row.key as unknown as string;
        entries.push(decodeEntry(key, row.value));
        bytes += row.value.length;
        if (bytes > SLICE_BYTES) return { entries, isEnd: false };
      }
      return { entries, isEnd: entries.length < limit };
    });
    this.#memory.touched(bytes);
    return read;
    function keyName(): string {
      return `key ${JSON.stringify(key)}`;
    }
  }

  /** How many keys from `start` on begin with `prefix`. */
  countEntries(prefix: string, start: string): number {
    return this.#current.getKeysCount(bounds(prefix, start));
  }

  /** The first log record's revision, or undefined when the log is empty. */
  firstLogRevision(): number | undefined {
    for (const revision of this.#log.getKeys({ start: 0 as never, limit: 1 })) return revision as unknown as number;
    return undefined;
  }

  /** The last log record's revision, or undefined when the log is empty. */
  lastLogRevision(): number | undefined {
    const newestFirst = { start: Number.MAX_SAFE_INTEGER as never, reverse: true, limit: 1 };
    for (const revision of this.#log.getKeys(newestFirst)) return revision as unknown as number;
    return undefined;
  }

  /**
   * Walks through the changes of the revisions from `from` to `to` that the log has, in order. `visit` says for each revision who gets its
   * changes; undefined ends the walk.
   */
  readLog(from: number, to: number, visit: (revision: number) => ChangeVisitor | undefined): void {
    for (const row of this.#log.getRange({ start: from as never, end: (to + 1) as never })) {
      const revision = row.key as unknown as number;
      const visitor = visit(revision);
      if (!visitor) return;
      named(
        () => `log record ${revision}`,
        () => decodeLog(revision, row.value, visitor),
      );
    }
  }

  /** The entry of `key` before the revision that changed it. */
  readBefore(revision: number, key: string): StoreEntry | undefined {
    const record = this.#log.getBinaryFast(revision as never);
    if (!record) return undefined;
    let found: StoreEntry | undefined;
    const visit: ChangeVisitor = (changedKey, _type, _existed, readBefore) => {
      if (changedKey === key) found = readBefore();
    };
    named(
      () => `log record ${revision}`,
      () => decodeLog(revision, record, visit),
    );
    return found;
  }

  /**
   * Writes everything in one transaction; resolves when it is durable. Throws {@link StoreFull}. Only one may be under way.
   */
  async commit({ entries, log, dropLog, state }: Commit): Promise<void> {
    this.#arenaUsed = 0;
    this.#committedBytes = 0;
    this.#memory.isWriting = true;
    try {
      await this.#root.batch(() => {
        for (const [key, entry] of entries) {
          if (entry) void this.#current.put(key as never, encodeEntry(entry, this.#allocate));
          else void this.#current.remove(key as never);
        }
        for (const record of log) void this.#log.put(record.revision as never, encodeLog(record, this.#allocate));
        for (let revision = dropLog?.from ?? 1; revision <= (dropLog?.to ?? 0); revision++) {
          void this.#log.remove(revision as never);
        }
        void this.#root.put(STATE_KEY as never, encodeState(state, this.#allocate));
      });
      this.#memory.isWriting = false;
      // Each entry lies on a page of its own, as likely as not.
      const dropped = dropLog ? dropLog.to - dropLog.from + 1 : 0;
      this.#memory.touched(this.#committedBytes + (entries.size + dropped) * PAGE_BYTES);
    } catch (error) {
      this.#memory.isWriting = false;
      throw this.#afterFailure(await reasonOf(error));
    }
  }

  /** How many entries and log records the file says it has. */
  counts(): { readonly entries: number; readonly logRecords: number } {
    const count = (table: Bytes): number => (table.getStats() as { entryCount: number }).entryCount;
    return { entries: count(this.#current), logRecords: count(this.#log) };
  }

  /** Bytes of the pages that hold something, and of the file's other pages, which are used before the file grows. */
  space(): { readonly usedBytes: number; readonly freeBytes: number } {
    const usedBytes = usedPages(this.#current) + usedPages(this.#log);
    const { lastPageNumber, pageSize } = this.#root.getStats() as { lastPageNumber: number; pageSize: number };
    return { usedBytes, freeBytes: (lastPageNumber + 1) * pageSize - usedBytes };
  }

  /** Ends the use of the file. */
  async close(): Promise<void> {
    this.#memory.stop();
    await this.#root.close();
  }

  #afterFailure(cause: { readonly code?: number; readonly message?: string }): Error {
    const failed = new Error(`LMDB could not commit: ${cause.message}`, { cause });
    try {
      // An empty transaction: LMDB refuses it when the failure was in the meta page, whose state is then unknown.
      this.#root.transactionSync(() => {});
    } catch {
      return failed;
    }
    if (cause.code === MDB_MAP_FULL) return new StoreFull("the store has reached its largest size", { cause });
    // A write that is cut short by a full disk comes out as an I/O error.
    const isFull = cause.code === ENOSPC || cause.code === EDQUOT || (cause.code === EIO && this.#isDiskFull());
    return isFull ? new StoreFull("the disk is full", { cause }) : failed;
  }

  #isDiskFull(): boolean {
    const { bavail, bsize } = statfsSync(this.#file);
    return bavail * bsize < FULL_BELOW_BYTES;
  }

  /** Memory for the records of one commit. LMDB copies them in its own thread, so it is used again only by the next commit. */
  readonly #allocate: Allocate = (bytes) => {
    this.#committedBytes += bytes;
    // Aligned, as checksums and copies are quicker so.
    const start = (this.#arenaUsed + 7) & ~7;
    if (start + bytes > this.#arena.length) return Buffer.allocUnsafeSlow(bytes);
    this.#arenaUsed = start + bytes;
    return this.#arena.subarray(start, start + bytes);
  };
}

/** Keys as text: UTF-8. Buffers are taken as they are, for the ends of ranges. */
const textKeys = {
  writeKey(key: string | Buffer, target: Buffer, start: number): number {
    if (typeof key !== "string") return start + key.copy(target, start);
    // lmdb-js takes a RangeError as the sign to go on in a new buffer; Buffer.write would cut the key off instead.
    if (key.length * 3 > target.length - start && Buffer.byteLength(key) > target.length - start)
      throw new RangeError();
    return start + target.write(key, start, "utf8");
  },
  readKey: (source: Buffer, start: number, end: number): string => source.toString("utf8", start, end),
};

/** Revisions as keys: eight bytes, big-endian, so that they sort as numbers. */
const revisionKeys = {
  writeKey(revision: number, target: Buffer, start: number): number {
    target.writeUInt32BE(Math.floor(revision / 0x1_0000_0000), start);
    return target.writeUInt32BE(revision % 0x1_0000_0000, start + 4);
  },
  readKey: (source: Buffer, start: number): number =>
    source.readUInt32BE(start) * 0x1_0000_0000 + source.readUInt32BE(start + 4),
};

/** Values as they are. What is read lies in lmdb-js's own memory until the next read, so it is decoded at once. */
const rawValues = { encode: (value: Buffer) => value, decode: (value: Buffer) => value };

const nobody: MapUser = { touched() {}, stop() {}, isWriting: false };

function bounds(prefix: string, start: string): { readonly start: never; readonly end?: never } {
  // lmdb-js's default start leaves out the keys below byte 5.
  if (prefix === "") return { start: (start === "" ? Buffer.of(0) : start) as never };
  const end = Buffer.from(prefix);
  // Never overflows: 0xff does not occur in UTF-8.
  end[end.length - 1]! += 1;
  return { start: start as never, end: end as never };
}

function named<T>(record: () => string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof DamagedRecord || error instanceof RangeError)) throw error;
    throw new StoreUnusable("damaged", `the store is damaged: ${record()}: ${error.message}`, { cause: error });
  }
}

function usedPages(table: Bytes): number {
  const stats = table.getStats() as Readonly<Record<string, number>>;
  const pages = stats["treeBranchPageCount"]! + stats["treeLeafPageCount"]! + stats["overflowPages"]!;
  return pages * stats["pageSize"]!;
}

/** What LMDB said. lmdb-js gives it as a promise that is rejected a little later; nobody else waits for that. */
async function reasonOf(error: unknown): Promise<{ readonly code?: number; readonly message?: string }> {
  const reason = (error as { commitError?: Promise<never> }).commitError;
  const inner: unknown = reason ? await reason.catch((cause: unknown) => cause) : error;
  return inner as { readonly code?: number; readonly message?: string };
}
