/**
 * Drops the store's history: what is older than five minutes, as with kube-apiserver, but a little every half minute instead of all of it every five, so that the file holds little
 * more than it must; and sooner what so much has been written after that the file would grow without end.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Store } from "#store/store.ts";

const PERIOD_MS = 30_000;
const KEPT_MS = 300_000;
/** Bytes of changed objects. What LMDB needs for them is up to twice as much. */
const KEPT_BYTES = 512 << 20;

/** How far the store was, and when. */
type Mark = { readonly revision: number; readonly atMs: number; readonly changedBytes: number };

/** What it works with. */
export type CompactionParts = {
  readonly store: Pick<Store, "currentRevision" | "compact">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Who keeps something of the past, and knows how much was written. */
  readonly cache: { readonly changedBytes: number; dropBefore(revision: number): void };
};

/** Compacts until the signal aborts. */
export async function compactForever(
  { store, clock, logger, cache }: CompactionParts,
  signal: AbortSignal,
): Promise<void> {
  const marks: Mark[] = [];
  while (!signal.aborted) {
    marks.push({ revision: store.currentRevision(), atMs: clock.now(), changedBytes: cache.changedBytes });
    try {
      await clock.sleep(PERIOD_MS, signal);
      const kept = marks.findIndex((mark) => !isPast(mark));
      const last = marks.splice(0, kept < 0 ? marks.length : kept).at(-1);
      if (last === undefined) continue;
      await store.compact(last.revision);
      cache.dropBefore(last.revision);
    } catch (error) {
      if (!signal.aborted) logger.warn("Failed to compact the store", { error });
    }
  }

  function isPast({ atMs, changedBytes }: Mark): boolean {
    return clock.now() - atMs >= KEPT_MS || cache.changedBytes - changedBytes > KEPT_BYTES;
  }
}
