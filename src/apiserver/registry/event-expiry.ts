/**
 * Events go an hour after they were last seen, as upstream's lease on them does it. Once a minute the events are looked through, in slices; each is read once, so that those that rest are not woken by it.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { Slices } from "#apiserver/negotiation/slices.ts";
import { StoreClosed } from "#store/store.ts";
import { WriteConflict } from "#apiserver/storage/object-storage.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { Registry } from "./registry.ts";

const TTL_MS = 3_600_000;
const PERIOD_MS = 60_000;

type Event = KubeObject & {
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
  readonly series?: { readonly lastObservedTime?: string | null };
};

/** When an event was last seen, in ms since 1970. It is another object when it is seen again. */
type LastSeen = WeakMap<StoredObject, number>;

/** Removes old events until the signal aborts. */
export async function expireEvents(registry: Registry, signal: AbortSignal): Promise<void> {
  const { clock, logger } = registry.parts;
  const lastSeen: LastSeen = new WeakMap();
  while (!signal.aborted) {
    try {
      await clock.sleep(PERIOD_MS, signal);
      await sweep(registry, lastSeen, signal);
    } catch (error) {
      if (signal.aborted || error instanceof StoreClosed) return;
      logger.warn("Failed to remove old events", { error });
    }
  }
}

async function sweep(registry: Registry, lastSeen: LastSeen, signal: AbortSignal): Promise<void> {
  const storage = registry.storageOf(registry.core("events"));
  const slices = new Slices();
  const cache = await storage.fresh();
  const dueMs = registry.parts.clock.now() - TTL_MS;
  for (const stored of cache.snapshot().from(storage.resource.prefix)) {
    if (signal.aborted) return;
    let seenMs = lastSeen.get(stored);
    if (seenMs === undefined) lastSeen.set(stored, (seenMs = lastSeenMs(stored)));
    if (seenMs < dueMs) await remove(storage, stored);
    if (slices.isOver()) await slices.next();
  }
}

async function remove(storage: ReturnType<Registry["storageOf"]>, stored: StoredObject): Promise<void> {
  try {
    await storage.delete(stored);
  } catch (error) {
    // It was seen again, or deleted.
    if (!(error instanceof WriteConflict)) throw error;
  }
}

function lastSeenMs(stored: StoredObject): number {
  const event = stored.passing as Event;
  const times = [
    event.metadata?.creationTimestamp,
    event.lastTimestamp,
    event.eventTime,
    event.series?.lastObservedTime,
  ];
  return Math.max(0, ...times.map((time) => (time ? Date.parse(time) || 0 : 0)));
}
