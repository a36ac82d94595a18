/**
 * Events in NATS JetStream: a stream for each log, and one for all places. What "durable" means is the server's to say (file storage, its replicas, its `sync_interval`). Loaded when a server is given.
 */
import {
  jetstreamManager,
  type JetStreamClient,
  type JetStreamManager,
  type StoredMsg,
  type StreamInfo,
} from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "#component-base/logger.ts";
import type { EventLog, EventLogs, LogPart, LogRecord, Places, Retention } from "./event-log.ts";

/** What they are opened with. */
export type NatsLogsOptions = {
  /** `nats://HOST:PORT`, several with commas. */
  readonly servers: string;
  /** Begins the names of all streams: those of another dispatcher begin otherwise. Letters, digits and dashes. */
  readonly prefix: string;
  /** How many servers keep each event. Default 1. */
  readonly replicas?: number;
  readonly logger: Logger;
};

/** Records asked for at once. */
const readAtOnce = 64;
const mebibyte = 2 ** 20;
const nanosPerMs = 1_000_000;
/** Streams hold no name with a dot. */
const dot = "_";

type Parts = {
  readonly options: NatsLogsOptions;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
};

/** Connects, and opens them or begins them. Rejects when nobody answers. */
export async function openNatsLogs(options: NatsLogsOptions): Promise<EventLogs> {
  const connection = await connect({
    servers: options.servers.split(","),
    maxReconnectAttempts: -1,
    name: "nodeless-eventing",
  });
  try {
    const manager = await jetstreamManager(connection);
    const parts = { options, manager, client: manager.jetstream() };
    return new NatsLogs(parts, connection, await NatsPlaces.open(parts));
  } catch (error) {
    await connection.close();
    throw error;
  }
}

class NatsLogs implements EventLogs {
  readonly places: Places;
  readonly #parts: Parts;
  readonly #connection: NatsConnection;
  readonly #open = new Map<string, Promise<NatsLog>>();

  constructor(parts: Parts, connection: NatsConnection, places: Places) {
    this.#parts = parts;
    this.#connection = connection;
    this.places = places;
  }

  async open(name: string, retention: Retention): Promise<EventLog> {
    const known = this.#open.get(name);
    if (known) return await known;
    const opening = NatsLog.open(this.#parts, this.#streamOf(name), retention);
    this.#open.set(name, opening);
    opening.catch(() => this.#open.delete(name));
    return await opening;
  }

  async remove(name: string): Promise<void> {
    this.#open.delete(name);
    await this.#parts.manager.streams.delete(this.#streamOf(name)).catch(absent);
  }

  async list(): Promise<readonly string[]> {
    const begins = this.#streamOf("");
    const found: string[] = [];
    for await (const name of this.#parts.manager.streams.names()) {
      if (name.startsWith(begins)) found.push(name.slice(begins.length).replaceAll(dot, "."));
    }
    return found;
  }

  async close(): Promise<void> {
    if (this.#connection.isClosed()) return;
    try {
      await this.places.flush();
      await this.#connection.drain();
    } catch (error) {
      this.#parts.options.logger.warn("Closed without its server", { error });
      await this.#connection.close();
    }
  }

  #streamOf(name: string): string {
    return `${this.#parts.options.prefix}-log-${name.replaceAll(".", dot)}`;
  }
}

/** One stream. Only this process appends to it. */
class NatsLog implements EventLog {
  readonly #parts: Parts;
  readonly #stream: string;
  readonly #listeners = new Set<() => void>();
  #retention: string;
  #first = 1;
  #end = 1;
  #bytes = 0;
  #told = 1;

  private constructor(parts: Parts, stream: string, retention: Retention) {
    this.#parts = parts;
    this.#stream = stream;
    this.#retention = JSON.stringify(retention);
  }

  static async open(parts: Parts, stream: string, retention: Retention): Promise<NatsLog> {
    const log = new NatsLog(parts, stream, retention);
    log.#learn(await ensureStream(parts, stream, { ...limitsOf(retention), allow_direct: true }));
    log.#told = log.#first;
    return log;
  }

  get first(): number {
    return this.#first;
  }

  get end(): number {
    return this.#end;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(payload: Uint8Array): Promise<number> {
    const { seq } = await this.#parts.client.publish(this.#stream, payload);
    this.#bytes += payload.length;
    if (seq >= this.#end) {
      this.#end = seq + 1;
      for (const listener of this.#listeners) listener();
    }
    return seq;
  }

  async read(from: number): Promise<LogPart> {
    for (let next = Math.max(from, this.#first); next < this.#end; ) {
      const count = Math.min(readAtOnce, this.#end - next);
      const messages = await Promise.all(Array.from({ length: count }, (_, index) => this.#get(next + index)));
      next += count;
      const records = messages.filter((message) => message !== undefined).map(recordOf);
      if (records.length > 0) return { records, next };
      // All of it is gone: what is the oldest that is there?
      await this.#look();
      next = Math.max(next, this.#first);
    }
    return { records: [], next: Math.max(from, this.#end) };
  }

  onAppended(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** By halving: a message a step. */
  async positionAt(timeMs: number): Promise<number> {
    await this.#look();
    let [low, high] = [this.#first, this.#end];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const message = await this.#get(middle);
      if (message && message.time.getTime() >= timeMs) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The server drops by itself; only what it is told may have changed. */
  async retain(retention: Retention): Promise<number> {
    const wanted = JSON.stringify(retention);
    if (wanted !== this.#retention) {
      await this.#parts.manager.streams.update(this.#stream, limitsOf(retention));
      this.#retention = wanted;
    }
    await this.#look();
    const gone = this.#first - this.#told;
    this.#told = this.#first;
    return gone;
  }

  async #get(position: number): Promise<StoredMsg | undefined> {
    return (await this.#parts.manager.direct.getMessage(this.#stream, { seq: position })) ?? undefined;
  }

  async #look(): Promise<void> {
    this.#learn(await this.#parts.manager.streams.info(this.#stream));
  }

  #learn({ state }: StreamInfo): void {
    this.#end = Math.max(this.#end, state.last_seq + 1);
    this.#first = state.messages === 0 ? this.#end : Math.max(1, state.first_seq);
    this.#bytes = state.bytes;
  }
}

/** The last value of each subject of a stream that keeps no others. */
class NatsPlaces implements Places {
  readonly #parts: Parts;
  readonly #stream: string;
  readonly #values = new Map<string, Uint8Array>();
  readonly #changed = new Set<string>();

  private constructor(parts: Parts, stream: string) {
    this.#parts = parts;
    this.#stream = stream;
  }

  static async open(parts: Parts): Promise<NatsPlaces> {
    const places = new NatsPlaces(parts, `${parts.options.prefix}-places`);
    const subjects = [`${places.#stream}.*`];
    await ensureStream(parts, places.#stream, { subjects, max_msgs_per_subject: 1, allow_direct: true });
    await places.#load();
    return places;
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  keys(): string[] {
    return [...this.#values.keys()];
  }

  set(key: string, value: Uint8Array): void {
    this.#values.set(key, value);
    this.#changed.add(key);
  }

  delete(key: string): void {
    if (this.#values.delete(key)) this.#changed.add(key);
  }

  async flush(): Promise<void> {
    const keys = [...this.#changed];
    this.#changed.clear();
    try {
      await Promise.all(keys.map((key) => this.#write(key)));
    } catch (error) {
      for (const key of keys) this.#changed.add(key);
      throw error;
    }
  }

  async #write(key: string): Promise<void> {
    const value = this.#values.get(key);
    const subject = this.#subjectOf(key);
    if (value) await this.#parts.client.publish(subject, value);
    else await this.#parts.manager.streams.purge(this.#stream, { filter: subject });
  }

  async #load(): Promise<void> {
    const { manager } = this.#parts;
    const { state } = await manager.streams.info(this.#stream, { subjects_filter: ">" });
    for (const subject of Object.keys(state.subjects ?? {})) {
      const message = await manager.direct.getMessage(this.#stream, { last_by_subj: subject });
      const key = Buffer.from(subject.slice(this.#stream.length + 1), "hex").toString();
      if (message) this.#values.set(key, message.data);
    }
  }

  /** Whatever the key holds is no part of a subject's structure. */
  #subjectOf(key: string): string {
    return `${this.#stream}.${Buffer.from(key).toString("hex")}`;
  }
}

type StreamSettings = Partial<StreamInfo["config"]>;

/** The stream, made when it is not there. Its only subject is its own name unless told otherwise. */
async function ensureStream({ manager, options }: Parts, name: string, settings: StreamSettings): Promise<StreamInfo> {
  const known = await manager.streams.info(name).catch(absent);
  if (known) return await manager.streams.update(name, settings);
  const replicas = options.replicas ?? 1;
  return await manager.streams.add({ name, subjects: [name], num_replicas: replicas, storage: "file", ...settings });
}

function limitsOf({ maxAgeMs, maxBytes }: Retention): StreamSettings {
  return { max_age: maxAgeMs * nanosPerMs, max_bytes: maxBytes, discard: "old", max_msg_size: 16 * mebibyte };
}

function recordOf({ seq, time, data }: StoredMsg): LogRecord {
  return { position: seq, timeMs: time.getTime(), payload: data };
}

/** For what is not there. */
function absent(error: unknown): undefined {
  const { code, status, name } = error as { readonly code?: number; readonly status?: number; readonly name?: string };
  const streamNotFound = 10_059;
  if (code === streamNotFound || status === 404 || name === "StreamNotFoundError") return undefined;
  throw error;
}
