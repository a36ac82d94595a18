/**
 * Where events are kept until all who want them have them, and how far each of those has come. Implementations pass `eventLogSuite` in event-log-suite.ts: files of this machine (`embedded-logs.ts`),
 * NATS JetStream (`nats-logs.ts`).
 */

/** The logs of one dispatcher. Only one process may have them open. */
export interface EventLogs {
  /** Opens the log of this name, or begins it; the same one for each call. Names are letters, digits, dots and dashes. */
  open(name: string, retention: Retention): Promise<EventLog>;
  /** Removes the log and all that is in it. One that is not there is success. */
  remove(name: string): Promise<void>;
  /** Names of the logs that are there, open or not. */
  list(): Promise<readonly string[]>;
  readonly places: Places;
  /** Waits for what is being appended, writes the places, and closes. */
  close(): Promise<void>;
}

/** What is kept at most. */
export type Retention = { readonly maxAgeMs: number; readonly maxBytes: number };

/** One sequence of events. Positions count up from 1. */
export interface EventLog {
  /** Position of the oldest record that is kept; of the next one, when there is none. */
  readonly first: number;
  /** Position of the next record. All before it is durable. */
  readonly end: number;
  readonly bytes: number;
  /** Resolves with the position when the record is durable. Throws when it could not be kept: then it may be tried again. */
  append(payload: Uint8Array): Promise<number>;
  /** Durable records from the position on, as many as come at once; none when there are none. What is gone is passed over. */
  read(from: number): Promise<LogPart>;
  /** Calls the listener whenever there are more records. Gives what ends that. */
  onAppended(listener: () => void): () => void;
  /** Position of the first record that is not older than this; the end when all are. */
  positionAt(timeMs: number): Promise<number>;
  /** Removes what is older or more than this, roughly. Gives how many records went. */
  retain(retention: Retention): Promise<number>;
}

/** What one read gave. */
export type LogPart = {
  readonly records: readonly LogRecord[];
  /** Where the next read begins. */
  readonly next: number;
};

export type LogRecord = { readonly position: number; readonly timeMs: number; readonly payload: Uint8Array };

/** A value per subscription. After a crash it may be one that was there before. */
export interface Places {
  /** What was set last; undefined when there is nothing. */
  get(key: string): Uint8Array | undefined;
  /** Those that have a value, in no order. */
  keys(): string[];
  /** In memory at once, elsewhere with the next {@link flush}. */
  set(key: string, value: Uint8Array): void;
  /** As {@link set}; what is not there is success. */
  delete(key: string): void;
  /** What was set survives the death of this process, with `isDurable` that of the machine too. */
  flush(options?: { readonly isDurable?: boolean }): Promise<void>;
}
