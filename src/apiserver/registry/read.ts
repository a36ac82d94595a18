/**
 * Lists and watches out of the watch cache, with upstream's rules for resourceVersion, resourceVersionMatch, limit and continue. Exact revisions come from kept snapshots or, failing that,
 * from the store's history.
 */
import type { ListMeta } from "#apimachinery/meta.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import { RevisionCompacted, RevisionInFuture } from "#store/store.ts";
import type { ListPage, WatchStream } from "#apiserver/api-request.ts";
import type { ListOptions } from "#apiserver/handlers/list-options.ts";
import { Slices } from "#apiserver/negotiation/slices.ts";
import { SortedMap, type SortedSnapshot } from "#apiserver/storage/sorted-map.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { HistoryLost } from "#apiserver/watch-cache/resource-cache.ts";
import { isSelected, type Selection } from "#apiserver/watch-cache/selection.ts";
import type { Watcher } from "#apiserver/watch-cache/watcher.ts";
import { decodeContinue, encodeContinue, expiredContinue } from "./continue-token.ts";
import { expired, tooLargeResourceVersion } from "./errors.ts";
import type { Registry } from "./registry.ts";
import type { ServedResource } from "./served-resource.ts";

/** How long a read waits for a revision that has not happened yet. */
const FUTURE_WAIT_MS = 3000;

type State = { readonly snapshot: SortedSnapshot<StoredObject>; readonly revision: number };

/** One page of a list; all of it without a limit. */
export async function readList(registry: Registry, resource: ServedResource, options: ListOptions): Promise<ListPage> {
  const { prefix } = options.selection;
  const token = options.continueToken === "" ? undefined : decodeContinue(options.continueToken);
  if (token !== undefined && options.resourceVersion !== "" && options.resourceVersion !== "0") {
    throw badRequest("specifying resource version is not allowed when using continue");
  }
  const asked = token?.revision ?? parseRevision(options.resourceVersion, "invalid resource version: ");
  const isExact = token !== undefined ? token.revision > 0 : isExactList(options, asked);
  const state = isExact
    ? await stateAt(registry, resource, { revision: asked, startKey: token?.startKey, prefix })
    : await newestState(registry, resource, Math.max(0, asked));
  const startKey = token === undefined ? prefix : prefix + token.startKey;
  return pageOf(registry, resource, { state, startKey, options });
}

/** Starts a watch. */
export async function openWatch(
  registry: Registry,
  resource: ServedResource,
  options: ListOptions,
): Promise<WatchStream> {
  const { cache: caches } = registry.parts;
  const asked = parseRevision(options.resourceVersion);
  const storage = registry.storageOf(resource);
  const cache = await storage.fresh();
  const { sendInitialEvents } = options;
  const isFromStart = sendInitialEvents ?? asked === 0;
  if (asked > caches.revision && sendInitialEvents !== undefined) await waitForRevision(registry, asked);
  if (!isFromStart && asked > 0 && asked < cache.historyRevision) await caches.reachBack(cache, asked);
  const revision = caches.revision;
  const after = isFromStart || asked === 0 ? revision : asked;
  const watcher = startWatcher(() => cache.watch(options.selection, after, revision), after);
  const initial = isFromStart ? cache.snapshot() : undefined;
  return {
    resource,
    initial:
      initial === undefined ? [] : await selected(initial, options.selection, { startKey: options.selection.prefix }),
    initialRevision: revision,
    watcher,
    marksInitialEventsEnd: sendInitialEvents === true && options.allowWatchBookmarks,
    sendsBookmarks: options.allowWatchBookmarks,
    timeoutMs: options.timeoutSeconds > 0 ? options.timeoutSeconds * 1000 : randomTimeoutMs(),
    stop: () => cache.unwatch(watcher),
  };
}

/** Decimal without sign; "" counts as 0. Throws BadRequest, whose message begins with `prefix`. */
export function parseRevision(text: string, prefix = ""): number {
  if (text === "") return 0;
  if (!/^\d{1,19}$/.test(text)) {
    throw badRequest(
      `${prefix}resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  }
  return Number(text);
}

function isExactList(options: ListOptions, asked: number): boolean {
  if (options.resourceVersionMatch !== "") return options.resourceVersionMatch === "Exact";
  return options.limit > 0 && asked > 0;
}

async function newestState(registry: Registry, resource: ServedResource, notOlderThan: number): Promise<State> {
  const fresh = registry.storageOf(resource).fresh();
  const cache = fresh instanceof Promise ? await fresh : fresh;
  if (notOlderThan > registry.parts.cache.revision) await waitForRevision(registry, notOlderThan);
  return { snapshot: cache.snapshot(), revision: registry.parts.cache.revision };
}

async function stateAt(
  registry: Registry,
  resource: ServedResource,
  past: { readonly revision: number; readonly startKey: string | undefined; readonly prefix: string },
): Promise<State> {
  const { cache: caches, store } = registry.parts;
  const { revision, startKey } = past;
  const cache = await registry.storageOf(resource).fresh();
  if (revision > caches.revision) throw tooLargeResourceVersion(revision, caches.revision);
  const isGone = revision <= store.compactedRevision() && revision < caches.revision;
  const kept = isGone ? undefined : cache.findSnapshot(revision, caches.revision);
  if (kept !== undefined) return { snapshot: kept, revision };
  try {
    const { entries } = await store.range({ prefix: past.prefix, revision });
    const objects = new SortedMap<StoredObject>();
    for (const entry of entries) objects.set(entry.key, caches.decode(resource.stored, entry));
    const snapshot = objects.snapshot();
    return { snapshot, revision };
  } catch (error) {
    if (error instanceof RevisionInFuture) throw tooLargeResourceVersion(revision, error.currentRevision);
    if (!(error instanceof RevisionCompacted)) throw error;
    throw startKey === undefined
      ? expired("The resourceVersion for the provided list is too old.")
      : expiredContinue(startKey);
  }
}

async function pageOf(
  registry: Registry,
  resource: ServedResource,
  page: { readonly state: State; readonly startKey: string; readonly options: ListOptions },
): Promise<ListPage> {
  const { state, startKey, options } = page;
  const objects = await selected(state.snapshot, options.selection, { startKey, limit: options.limit });
  const metadata: ListMeta = { resourceVersion: String(state.revision) };
  if (options.limit <= 0) return { resource, metadata, objects };
  const taken: StoredObject[] = [];
  for (const object of objects) {
    if (taken.length < options.limit) {
      taken.push(object);
      continue;
    }
    const last = taken[taken.length - 1] as StoredObject;
    rememberSnapshot(registry, resource, state);
    return { resource, metadata: { ...metadata, ...continuation(state, options, last) }, objects: taken };
  }
  return { resource, metadata, objects: taken };
}

function continuation(state: State, options: ListOptions, last: StoredObject): ListMeta {
  const { prefix } = options.selection;
  const next = `${last.key}\0`;
  const token = encodeContinue({ revision: state.revision, startKey: next.slice(prefix.length) });
  if (!options.isUnfiltered) return { continue: token };
  return { continue: token, remainingItemCount: state.snapshot.count(prefix, next) };
}

function rememberSnapshot(registry: Registry, resource: ServedResource, state: State): void {
  const cache = registry.storageOf(resource).fresh();
  if (!(cache instanceof Promise)) cache.keepSnapshot(state.revision, state.snapshot);
}

/** The objects of a selection from a key on, with a limit at least one more than it where there are more. What has to be looked at one by one is looked at in slices. */
async function selected(
  snapshot: SortedSnapshot<StoredObject>,
  selection: Selection,
  range: { readonly startKey: string; readonly limit?: number },
): Promise<Iterable<StoredObject>> {
  const all = snapshot.from(selection.prefix, range.startKey);
  if (selection.filter === undefined) return all;
  const most = range.limit === undefined || range.limit <= 0 ? Infinity : range.limit + 1;
  const found: StoredObject[] = [];
  const slices = new Slices();
  for (const object of all) {
    if (isSelected(selection, object) && found.push(object) >= most) break;
    if (slices.isOver()) await slices.next();
  }
  return found;
}

function startWatcher(start: () => Watcher, afterRevision: number): Watcher {
  try {
    return start();
  } catch (error) {
    if (!(error instanceof HistoryLost)) throw error;
    throw expired(`too old resource version: ${afterRevision} (${error.oldestRevision})`);
  }
}

async function waitForRevision(registry: Registry, revision: number): Promise<void> {
  const { cache, clock } = registry.parts;
  const isThere = cache.waitFor(revision).then(() => true);
  const timeout = new AbortController();
  const isLate = clock.sleep(FUTURE_WAIT_MS, timeout.signal).then(
    () => false,
    () => true,
  );
  const arrived = await Promise.race([isThere, isLate]);
  timeout.abort();
  if (!arrived) throw tooLargeResourceVersion(revision, cache.revision);
}

// As upstream: between half an hour and an hour, so that not all watches begin again at once.
function randomTimeoutMs(): number {
  return 1_800_000 * (1 + Math.random());
}
