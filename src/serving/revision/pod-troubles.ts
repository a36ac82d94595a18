/**
 * What stands in the way of a pod that does not become ready and whose status does not tell: the newest warning about it, such as a failing probe, or a sandbox or volume that cannot
 * be made. Asked for while somebody waits, less and less often: to follow all events would cost more than it tells.
 */
import type { Event, Pod } from "#api/generated/types/core-v1.ts";
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";

/** A reason, as an event's or a waiting container's, and what it says. */
export type Trouble = { readonly reason: string; readonly message: string };

const events: GroupVersionResource = { group: "", version: "v1", resource: "events" };
/** Most pods are ready by then. */
const firstLookMs = 2000;
const longestWaitMs = 30_000;

type Entry = {
  readonly pod: string;
  readonly sinceMs: number;
  readonly nextMs: number;
  readonly trouble: Trouble | undefined;
};

/** Looks after one pod of each revision, by the revision's key. */
export class PodTroubles {
  readonly #entries = new Map<string, Entry>();
  readonly #client: Client;
  readonly #clock: Clock;

  constructor({ client, clock }: { readonly client: Client; readonly clock: Clock }) {
    this.#client = client;
    this.#clock = clock;
  }

  /** What is known of the pod by now, and when to ask again. */
  async look(
    key: string,
    pod: Pod,
    signal: AbortSignal,
  ): Promise<{ readonly trouble: Trouble | undefined; readonly againAfterMs: number }> {
    const now = this.#clock.now();
    const uid = pod.metadata?.uid ?? "";
    const known = this.#entries.get(key);
    const entry =
      known?.pod === uid ? known : { pod: uid, sinceMs: now, nextMs: now + firstLookMs, trouble: undefined };
    this.#entries.set(key, entry);
    if (now < entry.nextMs) return { trouble: entry.trouble, againAfterMs: entry.nextMs - now };
    const waitMs = Math.min(Math.max(firstLookMs, (now - entry.sinceMs) / 2), longestWaitMs);
    const trouble = await this.#newestWarning(pod, signal);
    this.#entries.set(key, { ...entry, nextMs: now + waitMs, trouble });
    return { trouble, againAfterMs: waitMs };
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }

  async #newestWarning({ metadata, status }: Pod, signal: AbortSignal): Promise<Trouble | undefined> {
    const { namespace = "", uid = "" } = metadata ?? {};
    const fieldSelector = `involvedObject.uid=${uid},type=Warning`;
    const { items } = await this.#client.list<Event>({ resource: events, namespace }, { fieldSelector, signal });
    // What was said before its programs ran is over.
    const startedMs = Math.max(
      0,
      ...(status?.containerStatuses ?? []).map(({ state }) => Date.parse(state?.running?.startedAt ?? "") || 0),
    );
    const [newest] = items.filter((event) => timeOf(event) >= startedMs).toSorted((a, b) => timeOf(b) - timeOf(a));
    if (newest === undefined) return undefined;
    return { reason: newest.reason ?? "", message: newest.message ?? "" };
  }
}

function timeOf({ lastTimestamp, eventTime, series, metadata }: Event): number {
  const times = [lastTimestamp, series?.lastObservedTime, eventTime, metadata?.creationTimestamp];
  return Math.max(0, ...times.map((time) => (time ? Date.parse(time) : 0)));
}
