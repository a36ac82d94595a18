/**
 * The durable store: one LMDB file in a folder that belongs to one process. README.md tells the way of a write and of a read through it.
 */
import { type Clock, systemClock } from "#component-base/clock.ts";
import { type Logger, silentLogger } from "#component-base/logger.ts";
import { CatchUp } from "#store/lmdb/catch-up.ts";
import { checkInOwnProcess } from "#store/lmdb/check.ts";
import { CommitQueue } from "#store/lmdb/commit-queue.ts";
import { LmdbDatabase } from "#store/lmdb/database.ts";
import {
  beginCreating,
  damaged,
  dataFile,
  endCreating,
  hideFromChildren,
  leaveClosedMark,
  lockFolder,
  readFormat,
  takeClosedMark,
  unwritable,
} from "#store/lmdb/folder.ts";
import { HistoryReader } from "#store/lmdb/history-reader.ts";
import { type Libc, loadLibc } from "#store/lmdb/libc.ts";
import { MappedMemory } from "#store/lmdb/mapped-memory.ts";
import type { State } from "#store/lmdb/records.ts";
import { RecentEvents } from "#store/lmdb/recent-events.ts";
import { reserveFile } from "#store/lmdb/reserve-file.ts";
import { Room } from "#store/lmdb/room.ts";
import {
  type ImmediateStore,
  type RangeRequest,
  type RangeResult,
  RevisionCompacted,
  RevisionInFuture,
  StoreClosed,
  type StoreEntry,
  type StoreEvent,
  StoreUnusable,
  type StoreWatcher,
  type WriteOperation,
  type WriteResult,
} from "#store/store.ts";
import { WatchHub } from "#store/watch-hub.ts";

/** Where and how to open a store. */
export type LmdbStoreOptions = {
  /** The folder; made if need be. Nothing else may live in it. */
  readonly folder: string;
  /** Most that the store may grow to, in bytes. Default 8 GiB. */
  readonly maxBytes?: number;
  /** Disk space kept for deletes on a full disk, in bytes. Default 16 MiB. */
  readonly reserveBytes?: number;
  readonly logger?: Logger;
  readonly clock?: Clock;
};

/** The first revision is the empty store itself: it changed nothing, and the log has no record of it. */
const NEW_STORE: State = { revision: 1, compactedRevision: 0 };

/** Room in the map beyond `maxBytes`, for the deletes that bring the store below it again. */
const HEADROOM_BYTES = 64 << 20;

/** Opens the store in a folder, or makes a new one there. Throws {@link StoreUnusable}. */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<ImmediateStore> {
  const { folder, maxBytes = 8 * 2 ** 30, reserveBytes = 16 << 20 } = options;
  const logger = options.logger ?? silentLogger;
  const libc = loadLibc();
  const unlock = lockFolder(folder, libc);
  try {
    const { database, state } = await openDatabase(folder, { maxBytes, logger, libc });
    hideFromChildren(folder, libc);
    const reserve = reserveFile(folder, reserveBytes, libc);
    const clock = options.clock ?? systemClock;
    const isReserveHeld = reserve.take();
    if (!isReserveHeld) logger.warn("Found no disk space for the store's reserve", { folder, reserveBytes });
    const room = new Room({ reserve, isReserveHeld, database, maxBytes, reserveBytes, logger, clock });
    const onClosed = (revision: number | undefined): void => {
      if (revision !== undefined) leaveClosedMark(folder, revision);
      unlock();
    };
    return new LmdbStore({ database, room, state, onClosed });
  } catch (error) {
    unlock();
    throw error instanceof StoreUnusable ? error : unwritable(folder, error);
  }
}

type Opened = { readonly database: LmdbDatabase; readonly state: State };

async function openDatabase(
  folder: string,
  options: { readonly maxBytes: number; readonly logger: Logger; readonly libc: Libc },
): Promise<Opened> {
  const { maxBytes, logger, libc } = options;
  const memory = new MappedMemory(dataFile(folder), libc);
  const open = (): LmdbDatabase => LmdbDatabase.open(dataFile(folder), { maxBytes: maxBytes + HEADROOM_BYTES, memory });
  if (readFormat(folder) === "new") {
    beginCreating(folder);
    const database = open();
    await database.commit({ entries: new Map(), log: [], dropLog: undefined, state: NEW_STORE });
    endCreating(folder);
    return { database, state: NEW_STORE };
  }
  const mark = takeClosedMark(folder);
  if (!mark.isUntouched) {
    await checkInOwnProcess(folder);
    logger.info("Checked a store that was not closed in order, found no damage", { folder });
  }
  const database = open();
  return { database, state: readState(folder, database, mark.revision) };
}

/** The counters, which must fit the log and what was noted when the store was closed. */
function readState(folder: string, database: LmdbDatabase, closedRevision: number): State {
  const state = database.readState();
  if (!state) throw damaged(folder, "the counters are missing");
  if (state.revision < closedRevision) {
    throw damaged(folder, `it was closed at revision ${closedRevision}, but is at ${state.revision}`);
  }
  const last = database.lastLogRevision() ?? state.compactedRevision;
  if (last !== state.revision && state.revision > Math.max(1, state.compactedRevision)) {
    throw damaged(folder, `the newest log record is ${last}, the counters say ${state.revision}`);
  }
  return state;
}

class LmdbStore implements ImmediateStore {
  readonly #parts: StoreParts;
  readonly #commits: CommitQueue;
  readonly #reader: HistoryReader;
  readonly #hub = new WatchHub();
  readonly #recent: RecentEvents;
  readonly #catchUps = new Set<CatchUp>();
  #closing: Promise<void> | undefined;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.#recent = new RecentEvents(parts.state.revision);
    this.#commits = new CommitQueue({
      database: parts.database,
      room: parts.room,
      state: parts.state,
      onCommitted: (events, revision) => this.#announce(events, revision),
    });
    this.#reader = new HistoryReader(parts.database, {
      visibleRevision: () => this.currentRevision(),
      compactedRevision: () => this.#commits.compactTarget,
      beforeCommit: () => this.#commits.before,
      checkOpen: () => this.#checkOpen(),
    });
  }

  currentRevision(): number {
    return this.#commits.state.revision;
  }

  compactedRevision(): number {
    return this.#commits.state.compactedRevision;
  }

  current(key: string): StoreEntry | undefined {
    this.#checkOpen();
    return this.#reader.current(key);
  }

  async get(key: string, options: { readonly revision?: number } = {}): Promise<StoreEntry | undefined> {
    this.#checkReadable(options.revision);
    if (options.revision === undefined) return this.#reader.current(key);
    return this.#reader.at(key, options.revision);
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    this.#checkReadable(request.revision);
    return this.#reader.range(request);
  }

  async write(operations: readonly WriteOperation[]): Promise<WriteResult> {
    this.#checkOpen();
    return this.#commits.write(operations);
  }

  async watch(
    request: { readonly prefix: string; readonly afterRevision?: number },
    watcher: StoreWatcher,
  ): Promise<() => void> {
    this.#checkOpen();
    const { prefix, afterRevision = this.currentRevision() } = request;
    if (afterRevision < this.#commits.compactTarget) {
      throw new RevisionCompacted(afterRevision, this.#commits.compactTarget);
    }
    if (afterRevision > this.currentRevision()) throw new RevisionInFuture(afterRevision, this.currentRevision());
    const { database } = this.#parts;
    const [reader, recent, hub] = [this.#reader, this.#recent, this.#hub];
    const currentRevision = (): number => this.currentRevision();
    const catchUp = new CatchUp({
      database,
      reader,
      recent,
      hub,
      currentRevision,
      prefix,
      afterRevision: Math.max(afterRevision, NEW_STORE.revision),
      watcher,
    });
    this.#catchUps.add(catchUp);
    // Not awaited: the watch has begun, and its errors go to the watcher.
    void catchUp.run().finally(() => this.#catchUps.delete(catchUp));
    return () => catchUp.stop();
  }

  async compact(revision: number): Promise<void> {
    this.#checkOpen();
    if (revision > this.currentRevision()) throw new RevisionInFuture(revision, this.currentRevision());
    await this.#commits.compact(revision);
    this.#reader.forget();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#commits.drain();
    const closed = new StoreClosed("the store was closed");
    for (const catchUp of this.#catchUps) catchUp.end(closed);
    this.#hub.endAll(closed);
    await this.#parts.database.close();
    this.#parts.onClosed(this.#commits.isSound ? this.currentRevision() : undefined);
  }

  #announce(events: readonly StoreEvent[], revision: number): void {
    this.#recent.add(events, revision);
    this.#hub.publish(events, revision);
  }

  #checkOpen(): void {
    if (this.#closing) throw new StoreClosed("the store was closed");
  }

  #checkReadable(revision: number | undefined): void {
    this.#checkOpen();
    if (revision === undefined) return;
    if (revision <= this.compactedRevision()) throw new RevisionCompacted(revision, this.compactedRevision());
    if (revision > this.currentRevision()) throw new RevisionInFuture(revision, this.currentRevision());
  }
}

/** What an open store is made of. */
type StoreParts = {
  readonly database: LmdbDatabase;
  readonly room: Room;
  readonly state: State;
  /** Called at the end of close, with the newest revision if the file is known to be in order. */
  readonly onClosed: (revision: number | undefined) => void;
};
