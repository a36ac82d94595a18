/**
 * Keeps an informer's local copy true: initial events over a watch (WatchList) where the server offers them, else list and watch; a lost connection continues where it
 * broke, lost history (410) starts over. As client-go's reflector.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { Status } from "#apimachinery/status-error.ts";
import type { Client, WatchOptions } from "./client.ts";
import type { Informer, InformerHandler, Lister } from "./informer.ts";
import { ObjectStore, keyOf } from "./object-store.ts";
import type { IndexFunction } from "./object-store.ts";
import { RestingStore } from "./resting-store.ts";
import type { ObjectSource, WatchEvent } from "./transport.ts";

/** Which objects to follow, and how. */
export type InformerSelection<T extends KubeObject = KubeObject> = {
  readonly resource: GroupVersionResource;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Follow metadata only. */
  readonly metadataOnly?: boolean;
  /** Makes the form that is kept, from a frozen object: to hold less memory. Must keep name, namespace and resourceVersion. */
  readonly transform?: (object: T) => T;
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
};

export type InformerOptions<T extends KubeObject = KubeObject> = InformerSelection<T> & {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Randomness for jitter, in [0, 1). Default Math.random. */
  readonly random?: () => number;
};

/** An informer that somebody must start and stop. `start` resolves at once; wait with `waitForSync`. */
export type OwnedInformer<T extends KubeObject> = Informer<T> &
  Service & {
    /** Tries again at once when it waits to do so: for who knows that the server is back. */
    readonly retryNow: () => void;
  };

const firstBackoffMs = 100;
const maxBackoffMs = 10_000;
/** Longest wait while nobody listens at the server's address: such a try costs the server nothing, and it may be back any moment. */
const maxRefusedBackoffMs = 1000;
/** A watch that was open for this long was not refused: the next failure is a first one. */
const steadyMs = 1000;
/** A watch that took the request for initial events but never ended them hangs for good on some proxies. */
const initialEventsTimeoutMs = 60_000;
/** Watches are renewed after 5 to 10 minutes, so that load spreads over servers. As client-go. */
const minWatchSeconds = 300;
const pageSize = 500;

/** The server's state as a watch sends it first. */
type InitialEvents<T extends KubeObject> = { readonly objects: Map<string, Kept<T>>; readonly onEnd: () => void };

/** An object in the form that is kept, and where that can be had again. */
type Kept<T extends KubeObject> = { readonly object: T; readonly source?: ObjectSource<T> | undefined };

/** Makes an informer; nothing happens until it is started. */
export function createInformer<T extends KubeObject>(options: InformerOptions<T>): OwnedInformer<T> {
  return new Reflector(options);
}

class Reflector<T extends KubeObject> implements OwnedInformer<T> {
  readonly lister: Lister<T>;
  readonly #options: InformerOptions<T>;
  readonly #store = new ObjectStore<T>();
  readonly #resting: RestingStore<T>;
  readonly #handlers = new Set<InformerHandler<T>>();
  readonly #abort = new AbortController();
  readonly #synced: PromiseWithResolvers<void> = Promise.withResolvers();
  #hasSynced = false;
  #resourceVersion: string | undefined;
  #canWatchList = true;
  #failures = 0;
  /** When the present watch was answered. */
  #openedMs: number | undefined;
  #waiting: AbortController | undefined;
  #running: Promise<void> | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.lister = this.#store;
    this.#resting = new RestingStore(this.#store, options.clock);
    for (const [name, keysOf] of Object.entries(options.indexes ?? {})) this.#store.addIndex(name, keysOf);
  }

  addIndex(name: string, keysOf: IndexFunction<T>): void {
    this.#store.addIndex(name, keysOf);
  }

  addHandler(handler: InformerHandler<T>): () => void {
    this.#handlers.add(handler);
    if (this.#hasSynced)
      for (const object of this.#store.list()) this.#tell(handler, (one) => one.onAdd?.(object, true));
    return () => this.#handlers.delete(handler);
  }

  hasSynced(): boolean {
    return this.#hasSynced;
  }

  waitForSync(signal: AbortSignal): Promise<void> {
    if (this.#hasSynced) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    void this.#synced.promise.then(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    return promise;
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#running ??= this.#run();
  }

  retryNow(): void {
    this.#failures = 0;
    this.#waiting?.abort();
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error("the informer was stopped"));
    this.#resting.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      const startedMs = this.#options.clock.now();
      this.#openedMs = undefined;
      try {
        if (this.#resourceVersion !== undefined) await this.#follow(this.#resourceVersion);
        else if (this.#canWatchList) await this.#followWithInitialEvents();
        else {
          await this.#listAll();
          continue;
        }
        if (this.#options.clock.now() - startedMs < 1000) throw new Error("the watch ended as soon as it began");
      } catch (error) {
        await this.#onFailure(error);
      }
    }
  }

  /** Decides how to go on, and waits where going on at once would hurt the server. */
  async #onFailure(error: unknown): Promise<void> {
    if (this.#abort.signal.aborted) return;
    if (this.#openedMs !== undefined && this.#options.clock.now() - this.#openedMs >= steadyMs) this.#failures = 0;
    if (isExpired(error)) {
      this.#resourceVersion = undefined;
      if (this.#failures++ === 0) return;
    }
    if (this.#resourceVersion === undefined && isRefused(error)) {
      // An older server, or one without the feature: it answers 422 to sendInitialEvents.
      if (this.#canWatchList) {
        this.#canWatchList = false;
        return;
      }
    }
    this.#failures++;
    const { logger, clock, resource, random = Math.random } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    const log = isOrdinary(error) ? logger.debug : logger.warn;
    log.call(logger, "Watch was interrupted", { resource: resource.resource, group: resource.group, error: message });
    const longestMs = isConnectionRefused(error) ? maxRefusedBackoffMs : maxBackoffMs;
    const backoffMs = Math.min(firstBackoffMs * 2 ** Math.min(this.#failures - 1, 10), longestMs);
    this.#waiting = new AbortController();
    const signal = AbortSignal.any([this.#waiting.signal, this.#abort.signal]);
    await clock.sleep(backoffMs * (0.5 + random()), signal).catch(() => {});
    this.#waiting = undefined;
  }

  async #followWithInitialEvents(): Promise<void> {
    const attempt = new AbortController();
    const signal = AbortSignal.any([attempt.signal, this.#abort.signal]);
    const giveUp = () => {
      this.#canWatchList = false;
      attempt.abort(new Error("the server did not end its initial events"));
    };
    const timer = this.#options.clock.setTimer(initialEventsTimeoutMs, giveUp);
    try {
      const events = await this.#watch({ sendInitialEvents: true, resourceVersionMatch: "NotOlderThan", signal });
      await this.#consume(events, { objects: new Map(), onEnd: () => timer.clear() });
    } finally {
      timer.clear();
    }
  }

  async #listAll(): Promise<void> {
    const objects = new Map<string, Kept<T>>();
    const { client, labelSelector, fieldSelector, metadataOnly } = this.#options;
    let continueToken = "";
    for (;;) {
      const page = await client.list<T>(this.#ref(), {
        ...selectors({ labelSelector, fieldSelector, metadataOnly }),
        limit: pageSize,
        continue: continueToken,
        signal: this.#abort.signal,
      });
      for (const object of page.items) objects.set(keyOf(object), this.#kept({ object }));
      continueToken = page.metadata.continue ?? "";
      if (continueToken === "") return this.#replaceAll(objects, page.metadata.resourceVersion ?? "");
    }
  }

  async #follow(resourceVersion: string): Promise<void> {
    await this.#consume(await this.#watch({ resourceVersion, signal: this.#abort.signal }));
  }

  /** Takes in events. With `initial`, those up to the bookmark that ends them are the server's whole state. */
  async #consume(events: AsyncIterable<WatchEvent<T>>, initial?: InitialEvents<T>): Promise<void> {
    let gathering = initial;
    for await (const event of events) {
      if (event.type === "ERROR") throw StatusError.fromStatus(event.object as Partial<Status>);
      if (gathering === undefined) {
        this.#apply(event);
        this.#resourceVersion = event.object.metadata?.resourceVersion ?? this.#resourceVersion;
        this.#failures = 0;
      } else if (endsInitialEvents(event)) {
        gathering.onEnd();
        this.#replaceAll(gathering.objects, event.object.metadata?.resourceVersion ?? "");
        gathering = undefined;
      } else if (event.type === "DELETED") gathering.objects.delete(keyOf(event.object));
      else if (event.type !== "BOOKMARK") gathering.objects.set(keyOf(event.object), this.#kept(event));
    }
  }

  async #watch(options: WatchOptions): Promise<AsyncIterable<WatchEvent<T>>> {
    const { client, labelSelector, fieldSelector, metadataOnly, random = Math.random } = this.#options;
    const events = await client.watch<T>(this.#ref(), {
      ...selectors({ labelSelector, fieldSelector, metadataOnly }),
      allowWatchBookmarks: true,
      timeoutSeconds: Math.floor(minWatchSeconds * (1 + random())),
      ...options,
    });
    this.#openedMs = this.#options.clock.now();
    return events;
  }

  #ref(): { readonly resource: GroupVersionResource; readonly namespace?: string } {
    const { resource, namespace } = this.#options;
    return namespace === undefined ? { resource } : { resource, namespace };
  }

  #kept({ object, source }: Kept<T>): Kept<T> {
    const { transform } = this.#options;
    if (transform === undefined) return { object, source };
    return { object: transform(object), source: source && new TransformedSource(source, transform) };
  }

  #apply(event: WatchEvent<T>): void {
    if (event.type === "BOOKMARK") return;
    const key = keyOf(event.object);
    if (event.type === "DELETED") {
      this.#store.delete(key);
      const last = this.#kept(event).object;
      return this.#tellAll((handler) => handler.onDelete?.(last));
    }
    this.#put(key, this.#kept(event));
  }

  #put(key: string, { object, source }: Kept<T>): void {
    const before = this.#store.set(key, object, source);
    if (before === undefined) this.#tellAll((handler) => handler.onAdd?.(object, false));
    else if (before.metadata?.uid !== object.metadata?.uid) {
      this.#tellAll((handler) => handler.onDelete?.(before));
      this.#tellAll((handler) => handler.onAdd?.(object, false));
    } else this.#tellAll((handler) => handler.onUpdate?.(before, object));
  }

  /** The server's whole state: what is not in it was deleted while we did not look. */
  #replaceAll(objects: ReadonlyMap<string, Kept<T>>, resourceVersion: string): void {
    const isFirst = !this.#hasSynced;
    for (const key of this.#store.keys()) {
      if (objects.has(key)) continue;
      const last = this.#store.delete(key)!;
      this.#tellAll((handler) => handler.onDelete?.(last));
    }
    // All objects stand in the store before the first handler looks around in it.
    const changed = [...objects].map(([key, kept]) => ({ key, kept, before: this.#store.get(key) }));
    if (isFirst) for (const { key, kept } of changed) this.#store.set(key, kept.object, kept.source);
    for (const { key, kept, before } of changed) {
      const { object } = kept;
      if (before === undefined && isFirst) this.#tellAll((handler) => handler.onAdd?.(object, true));
      else if (before?.metadata?.resourceVersion !== object.metadata?.resourceVersion) this.#put(key, kept);
    }
    this.#resourceVersion = resourceVersion === "" ? undefined : resourceVersion;
    this.#failures = 0;
    this.#hasSynced = true;
    this.#synced.resolve();
    if (isFirst && this.#mayRest()) this.#resting.start();
  }

  /** Pods and nodes are looked at all together by many. */
  #mayRest(): boolean {
    const { metadataOnly, resource } = this.#options;
    const isLookedAt = resource.group === "" && (resource.resource === "pods" || resource.resource === "nodes");
    return (metadataOnly === true || !isLookedAt) && !this.#abort.signal.aborted;
  }

  #tellAll(call: (handler: InformerHandler<T>) => void): void {
    for (const handler of this.#handlers) this.#tell(handler, call);
  }

  #tell(handler: InformerHandler<T>, call: (handler: InformerHandler<T>) => void): void {
    try {
      call(handler);
    } catch (error) {
      this.#options.logger.error("Informer handler failed", { resource: this.#options.resource.resource, error });
    }
  }
}

/** The kept form of what another source gives. */
class TransformedSource<T extends KubeObject> implements ObjectSource<T> {
  readonly #source: ObjectSource<T>;
  readonly #transform: (object: T) => T;

  constructor(source: ObjectSource<T>, transform: (object: T) => T) {
    this.#source = source;
    this.#transform = transform;
  }

  get object(): T {
    return this.#transform(this.#source.object);
  }
}

function endsInitialEvents(event: WatchEvent): boolean {
  return event.type === "BOOKMARK" && event.object.metadata?.annotations?.["k8s.io/initial-events-end"] === "true";
}

function selectors(options: {
  readonly labelSelector: string | undefined;
  readonly fieldSelector: string | undefined;
  readonly metadataOnly: boolean | undefined;
}): Pick<WatchOptions, "labelSelector" | "fieldSelector" | "metadataOnly"> {
  return {
    ...(options.labelSelector === undefined ? {} : { labelSelector: options.labelSelector }),
    ...(options.fieldSelector === undefined ? {} : { fieldSelector: options.fieldSelector }),
    ...(options.metadataOnly ? { metadataOnly: true } : {}),
  };
}

function isExpired(error: unknown): boolean {
  return error instanceof StatusError && error.code === 410;
}

function isRefused(error: unknown): boolean {
  return error instanceof StatusError && (error.code === 422 || error.code === 400);
}

/** The server is away, or the kind was removed: both happen in the best of clusters. */
function isOrdinary(error: unknown): boolean {
  return error instanceof StatusError && (error.code === 503 || error.code === 404);
}

/** Nobody listens there. */
function isConnectionRefused(error: unknown): boolean {
  return (
    error instanceof StatusError && (error.cause as { readonly code?: string } | undefined)?.code === "ECONNREFUSED"
  );
}
