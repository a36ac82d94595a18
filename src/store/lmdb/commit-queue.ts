/**
 * Group commit: writes of one turn, and those that come while a commit is running, are checked one after another against what those before them
 * leave behind, and go to the disk together. Each keeps a revision of its own. Nothing of it is visible until all of it is durable.
 */
import assert from "node:assert";
import { checkKey } from "#store/keys.ts";
import type { Commit, LmdbDatabase } from "#store/lmdb/database.ts";
import type { Change, LogRecord, State } from "#store/lmdb/records.ts";
import type { Room } from "#store/lmdb/room.ts";
import { type StoreEntry, type StoreEvent, StoreFull, type WriteOperation, type WriteResult } from "#store/store.ts";

/** A write that waits for its commit. */
type Pending = {
  readonly operations: readonly WriteOperation[];
  readonly resolve: (result: WriteResult) => void;
  readonly reject: (error: unknown) => void;
};

/** What a commit will do, and whom it then answers. */
type Batch = {
  readonly commit: Commit;
  readonly before: ReadonlyMap<string, StoreEntry | undefined>;
  readonly events: readonly StoreEvent[];
  readonly answer: () => void;
};

/** What the queue works with. `onCommitted` is called when a commit is durable, before its writers are answered. */
export type CommitQueueOptions = {
  readonly database: LmdbDatabase;
  readonly room: Room;
  readonly state: State;
  readonly onCommitted: (events: readonly StoreEvent[], revision: number) => void;
};

/** Most that one commit takes, so that the writers behind a crowd are not kept waiting. */
const MAX_WRITES = 1024;
const MAX_BYTES = 8 << 20;
/** Log records that one commit removes for a compaction, beside its writes. */
const DROPPED_PER_COMMIT = 1000;

/** The only writer of the database. */
export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #queue: Pending[] = [];
  #state: State;
  #before: ReadonlyMap<string, StoreEntry | undefined> = new Map();
  #isScheduled = false;
  #isCommitting = false;
  /** Set when LMDB failed in a way that leaves its state unknown; nothing is written after that. */
  #failure: Error | undefined;
  #firstLogRevision: number;
  #compactTarget: number;
  #compactions: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #idle: (() => void)[] = [];

  constructor(options: CommitQueueOptions) {
    this.#options = options;
    this.#state = options.state;
    this.#firstLogRevision = options.database.firstLogRevision() ?? options.state.revision + 1;
    this.#compactTarget = options.state.compactedRevision;
  }

  /** The durable counters. */
  get state(): State {
    return this.#state;
  }

  /** Where history ends, or will end as soon as the compaction that was asked for begins. */
  get compactTarget(): number {
    return this.#compactTarget;
  }

  /** The keys that the commit under way changes, with their entries before it. */
  get before(): ReadonlyMap<string, StoreEntry | undefined> {
    return this.#before;
  }

  /** False after LMDB failed in a way that leaves its state unknown. */
  get isSound(): boolean {
    return this.#failure === undefined;
  }

  /** Puts a write in the queue. */
  async write(operations: readonly WriteOperation[]): Promise<WriteResult> {
    for (const { key } of operations) checkKey(key);
    if (operations.length > 1) {
      assert(new Set(operations.map(({ key }) => key)).size === operations.length, "a key may stand in a write once");
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ operations, resolve, reject });
      this.#schedule();
    });
  }

  /** Removes the log up to `revision`, bit by bit beside the writes. Resolves when all of it is gone. */
  async compact(revision: number): Promise<void> {
    if (revision <= this.#state.compactedRevision && !this.#hasLogToDrop()) return;
    this.#compactTarget = Math.max(this.#compactTarget, revision);
    await new Promise<void>((resolve, reject) => {
      this.#compactions.push({ resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when everything that was put in the queue is done. */
  async drain(): Promise<void> {
    if (!this.#hasWork() && !this.#isCommitting) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #hasLogToDrop(): boolean {
    return this.#firstLogRevision <= this.#compactTarget;
  }

  #hasWork(): boolean {
    return this.#queue.length > 0 || this.#compactions.length > 0;
  }

  /** Begins a commit at the end of this turn of the event loop, so that what comes on other connections in the same turn is in it. */
  #schedule(): void {
    if (this.#isScheduled || this.#isCommitting) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#run();
    });
  }

  /** Never rejects: every error goes to the writers that it concerns. */
  async #run(): Promise<void> {
    this.#isCommitting = true;
    const taken = this.#take();
    try {
      await this.#commit(taken);
    } catch (error) {
      for (const { reject } of taken) reject(error);
      this.#endCompactions((waiting) => waiting.reject(error));
    }
    this.#before = new Map();
    this.#isCommitting = false;
    if (this.#hasWork()) return this.#schedule();
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #take(): readonly Pending[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < MAX_WRITES && bytes < MAX_BYTES) {
      bytes += this.#queue[count]!.operations.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #commit(taken: readonly Pending[]): Promise<void> {
    if (this.#failure) throw this.#failure;
    const { database, room } = this.#options;
    for (;;) {
      const batch = this.#build(taken);
      try {
        this.#before = batch.before;
        if (isEmpty(batch.commit, this.#state)) return batch.answer();
        await database.commit(batch.commit);
        return this.#finish(batch);
      } catch (error) {
        if (!(error instanceof StoreFull)) this.#failure = error as Error;
        // With the reserve given up there is room for what frees space; what does not is refused when the batch is built again.
        if (!(error instanceof StoreFull) || !room.giveUpReserve(error)) throw error;
      }
    }
  }

  #finish({ commit, events, answer }: Batch): void {
    this.#before = new Map();
    this.#state = commit.state;
    if (commit.dropLog) this.#firstLogRevision = commit.dropLog.to + 1;
    this.#options.room.afterCommit();
    if (events.length > 0) this.#options.onCommitted(events, commit.state.revision);
    answer();
    if (this.#state.compactedRevision === this.#compactTarget && !this.#hasLogToDrop()) {
      this.#endCompactions((waiting) => waiting.resolve());
    }
  }

  #endCompactions(end: (waiting: { resolve: () => void; reject: (error: unknown) => void }) => void): void {
    for (const waiting of this.#compactions.splice(0)) end(waiting);
  }

  #build(taken: readonly Pending[]): Batch {
    const plan = new CommitPlan(this.#options.database, this.#options.room, this.#state.revision);
    const answers = taken.map((pending) => plan.add(pending));
    const state = { revision: plan.revision, compactedRevision: this.#compactTarget };
    const commit = { entries: plan.after, log: plan.log, dropLog: this.#logToDrop(), state };
    const answer = (): void => {
      for (const one of answers) one();
    };
    return { commit, before: plan.before, events: plan.events, answer };
  }

  #logToDrop(): Commit["dropLog"] {
    if (!this.#hasLogToDrop()) return undefined;
    const from = this.#firstLogRevision;
    return { from, to: Math.min(this.#compactTarget, from + DROPPED_PER_COMMIT - 1) };
  }
}

/** Works out what the writes of one commit do, in their order. */
class CommitPlan {
  readonly after = new Map<string, StoreEntry | undefined>();
  readonly before = new Map<string, StoreEntry | undefined>();
  readonly log: LogRecord[] = [];
  readonly events: StoreEvent[] = [];
  revision: number;
  readonly #database: LmdbDatabase;
  readonly #room: Room;

  constructor(database: LmdbDatabase, room: Room, revision: number) {
    this.#database = database;
    this.#room = room;
    this.revision = revision;
  }

  /** Takes a write in, and gives what tells its writer the outcome. */
  add({ operations, resolve, reject }: Pending): () => void {
    const found = operations.map(({ key }) => this.#entry(key));
    const refusal = this.#room.refusal(operations, found);
    if (refusal) return () => reject(refusal);
    const result = this.#refused(operations, found) ?? this.#apply(operations, found);
    return () => resolve(result);
  }

  #entry(key: string): StoreEntry | undefined {
    return this.after.has(key) ? this.after.get(key) : this.#database.readEntry(key);
  }

  #refused(operations: readonly WriteOperation[], found: readonly (StoreEntry | undefined)[]): WriteResult | undefined {
    for (const [i, { key, expectedRevision }] of operations.entries()) {
      const current = found[i];
      if (expectedRevision === undefined || expectedRevision === (current?.modRevision ?? 0)) continue;
      return { ok: false, revision: this.revision, key, current };
    }
    return undefined;
  }

  #apply(operations: readonly WriteOperation[], found: readonly (StoreEntry | undefined)[]): WriteResult {
    const changes: Change[] = [];
    for (const [i, { key, value }] of operations.entries()) {
      const before = found[i];
      if (value === undefined && !before) continue;
      changes.push({ type: value === undefined ? "delete" : "put", key, before });
      this.#change(key, value, before);
    }
    if (changes.length === 0) return { ok: true, revision: this.revision };
    this.revision++;
    this.log.push({ revision: this.revision, changes });
    return { ok: true, revision: this.revision };
  }

  #change(key: string, value: Uint8Array | undefined, before: StoreEntry | undefined): void {
    const revision = this.revision + 1;
    const createRevision = before?.createRevision ?? revision;
    if (!this.before.has(key)) this.before.set(key, before);
    if (value === undefined) {
      this.after.set(key, undefined);
      this.events.push({ type: "delete", key, revision, value: before!.value, createRevision });
      return;
    }
    this.after.set(key, { key, value, createRevision, modRevision: revision });
    const event: StoreEvent = { type: "put", key, revision, value, createRevision };
    this.events.push(before ? { ...event, previousValue: before.value } : event);
  }
}

function isEmpty({ log, dropLog, state }: Commit, previous: State): boolean {
  return log.length === 0 && !dropLog && state.compactedRevision === previous.compactedRevision;
}
