/**
 * An API in memory, for tests of what stands on the client: objects with resource versions, generations, finalizers and graceful deletion, lists and watches with
 * selectors. No defaulting, validation, or access control: tests that need those run on the real API server with the memory store.
 */
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "#component-base/clock.ts";
import { deepFreeze } from "#apimachinery/freeze.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { StatusError, alreadyExists, badRequest, conflict, notFound } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { Transport, TransportRequest, TransportResponse, WatchEvent } from "#client/transport.ts";
import { serveDiscovery } from "./fake-discovery.ts";
import { applyMergePatch, matchesSelectors, parsePath } from "./fake-requests.ts";
import type { Target } from "./fake-requests.ts";
import { FakeWatch } from "./fake-watch.ts";

// oxlint-disable-next-line typescript/no-explicit-any -- the fake looks into objects of all kinds
export type AnyObject = { [key: string]: any };

type Change = {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: AnyObject;
  readonly before: AnyObject | undefined;
  readonly collection: string;
};

/** Called before each write; may throw to refuse it, as admission would. */
export type FakeHook = (request: TransportRequest, target: Target) => void | Promise<void>;

export type FakeTransportOptions = {
  readonly clock: Clock;
  /** Whether watches with sendInitialEvents are taken (default) or answered with 422. */
  readonly hasWatchList?: boolean;
  readonly hook?: FakeHook;
};

/** The fake and what tests ask of it beyond the contract. */
export class FakeTransport implements Transport {
  readonly #options: FakeTransportOptions;
  /** Keys "collection|namespace/name". */
  readonly #objects = new Map<string, AnyObject>();
  readonly #watches = new Set<FakeWatch>();
  #changes: Change[] = [];
  #revision = 1;
  #compacted = 0;
  /** All requests so far: "POST /api/v1/namespaces/default/pods". */
  readonly log: string[] = [];

  constructor(options: FakeTransportOptions) {
    this.#options = options;
  }

  /** Ends all watches, as a restarting server does. */
  breakWatches(): void {
    for (const watch of this.#watches)
      watch.end(new StatusError({ reason: "ServiceUnavailable", code: 503, message: "broken" }));
  }

  /** Forgets history: watches from before get 410. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#changes = [];
  }

  /** How many watches are open. */
  get watchCount(): number {
    return this.#watches.size;
  }

  async request(request: TransportRequest): Promise<TransportResponse> {
    request.signal?.throwIfAborted();
    await Promise.resolve();
    this.log.push(`${request.method} ${request.path}`);
    const discovery = serveDiscovery(request.path);
    if (discovery !== undefined) return { status: 200, body: deepFreeze(discovery) };
    const target = parsePath(request.path);
    const copy = request.body === undefined ? request : { ...request, body: structuredClone(request.body) };
    if (request.method !== "GET") await this.#options.hook?.(copy, target);
    return { status: 200, body: deepFreeze(this.#serve(copy, target)) as KubeObject };
  }

  async watch(request: TransportRequest): Promise<AsyncIterable<WatchEvent>> {
    await Promise.resolve();
    const target = parsePath(request.path);
    const query = request.query ?? {};
    if (query["sendInitialEvents"] === "true" && this.#options.hasWatchList === false) {
      throw new StatusError({ reason: "Invalid", code: 422, message: "sendInitialEvents is forbidden" });
    }
    const from = Number(query["resourceVersion"] ?? 0);
    if (from > 0 && from < this.#compacted) {
      throw new StatusError({
        reason: "Expired",
        code: 410,
        message: `too old resource version: ${from} (${this.#compacted})`,
      });
    }
    const watch = new FakeWatch(
      request.signal,
      () => this.#watches.delete(watch),
      (change) => this.#visible(change as Change, target, query),
    );
    this.#watches.add(watch);
    if (from === 0) {
      for (const object of this.#select(target, query)) watch.push({ type: "ADDED", object: object as KubeObject });
    } else for (const change of this.#changes) if (revisionOf(change.object) > from) watch.offer(change);
    if (query["sendInitialEvents"] === "true") watch.push(this.#initialEventsEnd());
    return watch;
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) watch.end();
  }

  #initialEventsEnd(): WatchEvent {
    const annotations = { "k8s.io/initial-events-end": "true" };
    return deepFreeze({
      type: "BOOKMARK" as const,
      object: { metadata: { resourceVersion: String(this.#revision), annotations } },
    });
  }

  #serve(request: TransportRequest, target: Target): unknown {
    const query = request.query ?? {};
    switch (request.method) {
      case "GET":
        return target.name === "" ? this.#list(target, query) : this.#get(target);
      case "POST":
        return this.#create(request.body as AnyObject, target);
      case "PUT":
        return this.#update(request.body as AnyObject, target);
      case "PATCH":
        return this.#patch(request, target);
      case "DELETE":
        return target.name === ""
          ? this.#deleteAll(target, query, request)
          : this.#delete(target, request.body as AnyObject);
    }
  }

  #get(target: Target): AnyObject {
    const object = this.#objects.get(target.key);
    if (object === undefined) throw notFound(target);
    return object;
  }

  #list(target: Target, query: TransportRequest["query"]): unknown {
    const items = this.#select(target, query ?? {});
    const kind = items[0]?.["kind"] ?? "";
    return {
      kind: `${kind}List`,
      apiVersion: target.apiVersion,
      metadata: { resourceVersion: String(this.#revision) },
      items,
    };
  }

  #select(target: Target, query: NonNullable<TransportRequest["query"]>): AnyObject[] {
    const found: AnyObject[] = [];
    for (const [key, object] of this.#objects) {
      if (!key.startsWith(`${target.collection}|`)) continue;
      if (target.namespace !== "" && object["metadata"].namespace !== target.namespace) continue;
      if (matchesSelectors(object, query)) found.push(object);
    }
    return found;
  }

  #create(body: AnyObject, target: Target): AnyObject {
    if (target.subresource === "binding") return this.#bind(body, target);
    if (target.subresource === "eviction")
      return this.#delete({ ...target, subresource: "" }, body["deleteOptions"] ?? {});
    const metadata = { ...body["metadata"] };
    if (target.namespace !== "") metadata.namespace = target.namespace;
    if (metadata.name === undefined && metadata.generateName !== undefined)
      metadata.name = `${metadata.generateName}${randomSuffix(this.#revision)}`;
    if (metadata.name === undefined) throw badRequest("name is required");
    const named = {
      ...target,
      name: metadata.name,
      key: `${target.collection}|${metadata.namespace ?? ""}/${metadata.name}`,
    };
    if (this.#objects.has(named.key)) throw alreadyExists(named);
    const uid = metadata.uid ?? `uid-${this.#revision + 1}`;
    delete metadata.resourceVersion;
    const object = { ...body, metadata: { ...metadata, uid, creationTimestamp: this.#now(), generation: 1 } };
    return this.#commit("ADDED", named, withKindDefaults(object, named.collection));
  }

  #bind(body: AnyObject, target: Target): AnyObject {
    const pod = this.#get(target);
    if (pod["spec"].nodeName)
      throw conflict(target, `pod ${target.name} is already assigned to node "${pod["spec"].nodeName}"`);
    const condition = { type: "PodScheduled", status: "True", lastTransitionTime: this.#now() };
    const others = (pod["status"]?.conditions ?? []).filter((one: AnyObject) => one["type"] !== "PodScheduled");
    const spec = { ...pod["spec"], nodeName: body["target"].name };
    this.#commit("MODIFIED", target, {
      ...pod,
      spec,
      status: { ...pod["status"], conditions: [...others, condition] },
    });
    return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
  }

  #patch(request: TransportRequest, target: Target): AnyObject {
    const current = this.#get(target);
    const isStrategic = request.contentType?.includes("strategic") ?? false;
    return this.#update(applyMergePatch(current, request.body, isStrategic) as AnyObject, target);
  }

  #update(body: AnyObject, target: Target): AnyObject {
    const current = this.#get(target);
    const given = body["metadata"]?.resourceVersion;
    if (given !== undefined && given !== current["metadata"].resourceVersion) {
      throw conflict(
        target,
        "the object has been modified; please apply your changes to the latest version and try again",
      );
    }
    if (body["metadata"]?.uid !== undefined && body["metadata"].uid !== current["metadata"].uid) {
      throw conflict(
        target,
        `Precondition failed: UID in precondition: ${body["metadata"].uid}, UID in object meta: ${current["metadata"].uid}`,
      );
    }
    const next = this.#merged(current, body, target.subresource);
    if (isDeepStrictEqual(next, current)) return current;
    const isGone = next["metadata"].deletionTimestamp && !holds(next);
    return this.#commit(isGone ? "DELETED" : "MODIFIED", target, next);
  }

  /** What an update may change: status through /status, the rest otherwise. */
  #merged(current: AnyObject, body: AnyObject, subresource: string): AnyObject {
    if (subresource === "status") return { ...current, status: body["status"] };
    if (subresource === "finalize") return { ...current, spec: body["spec"] };
    const kept = current["metadata"];
    const { name, namespace, uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, resourceVersion } =
      kept;
    const isChanged = !isDeepStrictEqual(body["spec"], current["spec"]);
    const place = namespace === undefined ? { name } : { name, namespace };
    const fixed = {
      ...place,
      uid,
      creationTimestamp,
      resourceVersion,
      generation: kept.generation + (isChanged ? 1 : 0),
    };
    const deletion = deletionTimestamp === undefined ? {} : { deletionTimestamp, deletionGracePeriodSeconds };
    const metadata = { ...body["metadata"], ...fixed, ...deletion };
    const hasStatus = current["status"] !== undefined;
    return { ...body, metadata, ...(hasStatus ? { status: current["status"] } : {}) };
  }

  #deleteAll(target: Target, query: TransportRequest["query"], request: TransportRequest): unknown {
    for (const object of this.#select(target, query ?? {})) {
      const { namespace = "", name } = object["metadata"];
      this.#delete({ ...target, name, key: `${target.collection}|${namespace}/${name}` }, request.body as AnyObject);
    }
    return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 200 };
  }

  #delete(target: Target, options: AnyObject = {}): AnyObject {
    const current = this.#get(target);
    const { uid, resourceVersion } = options["preconditions"] ?? {};
    if (uid !== undefined && uid !== current["metadata"].uid)
      throw conflict(target, "Precondition failed: UID in precondition");
    if (resourceVersion !== undefined && resourceVersion !== current["metadata"].resourceVersion)
      throw conflict(target, "Precondition failed: resourceVersion");
    const finalizers = withPropagation(current["metadata"].finalizers ?? [], options["propagationPolicy"]);
    const graceSeconds = graceOf(current, options["gracePeriodSeconds"]);
    const metadata = { ...current["metadata"], finalizers };
    if (metadata.deletionTimestamp === undefined) {
      metadata.deletionTimestamp = formatTime(this.#options.clock.now() + graceSeconds * 1000);
      metadata.generation++;
    }
    metadata.deletionGracePeriodSeconds = graceSeconds;
    if (finalizers.length === 0) delete metadata.finalizers;
    const next: AnyObject = { ...current, metadata };
    if (target.collection === "namespaces") next["status"] = { ...current["status"], phase: "Terminating" };
    if (isDeepStrictEqual(next, current)) return current;
    return this.#commit(holds(next) ? "MODIFIED" : "DELETED", target, next);
  }

  #commit(type: Change["type"], target: Target, object: AnyObject): AnyObject {
    const before = this.#objects.get(target.key);
    this.#revision++;
    const next = deepFreeze({
      ...object,
      metadata: { ...object["metadata"], resourceVersion: String(this.#revision) },
    }) as AnyObject;
    if (type === "DELETED") this.#objects.delete(target.key);
    else this.#objects.set(target.key, next);
    const change: Change = { type, object: next, before, collection: target.collection };
    this.#changes.push(change);
    for (const watch of this.#watches) watch.offer(change);
    return next;
  }

  /** The event that a watch with these selectors sees of a change, if any. */
  #visible(change: Change, target: Target, query: NonNullable<TransportRequest["query"]>): WatchEvent | undefined {
    if (change.collection !== target.collection) return undefined;
    if (target.namespace !== "" && change.object["metadata"].namespace !== target.namespace) return undefined;
    const matched = change.before !== undefined && matchesSelectors(change.before, query);
    const matches = change.type !== "DELETED" && matchesSelectors(change.object, query);
    const object = change.object as KubeObject;
    if (!matched && !matches) return undefined;
    if (!matches) return { type: "DELETED", object };
    return { type: matched ? "MODIFIED" : "ADDED", object };
  }

  #now(): string {
    return formatTime(this.#options.clock.now());
  }
}

function revisionOf(object: AnyObject): number {
  return Number(object["metadata"].resourceVersion);
}

/** True while something keeps a deleted object: finalizers, grace, or a namespace's own finalizers. */
function holds(object: AnyObject): boolean {
  const { finalizers, deletionGracePeriodSeconds } = object["metadata"];
  const namespaceFinalizers = object["kind"] === "Namespace" ? (object["spec"]?.finalizers ?? []) : [];
  return (finalizers ?? []).length > 0 || namespaceFinalizers.length > 0 || (deletionGracePeriodSeconds ?? 0) > 0;
}

function graceOf(object: AnyObject, asked: number | undefined): number {
  const isRunning =
    object["kind"] === "Pod" && object["spec"]?.nodeName && !["Succeeded", "Failed"].includes(object["status"]?.phase);
  return isRunning ? (asked ?? object["spec"].terminationGracePeriodSeconds ?? 30) : 0;
}

function withPropagation(finalizers: readonly string[], policy: string | undefined): readonly string[] {
  const others = finalizers.filter((one) => policy === undefined || (one !== "orphan" && one !== "foregroundDeletion"));
  if (policy === "Foreground") return [...others, "foregroundDeletion"];
  return policy === "Orphan" ? [...others, "orphan"] : others;
}

function withKindDefaults(object: AnyObject, collection: string): AnyObject {
  if (collection === "pods") return { ...object, status: { phase: "Pending", ...object["status"] } };
  if (collection !== "namespaces") return object;
  return {
    ...object,
    spec: { finalizers: ["kubernetes"], ...object["spec"] },
    status: { phase: "Active", ...object["status"] },
  };
}

function randomSuffix(seed: number): string {
  return (seed * 7919 + 100_000).toString(36).padStart(5, "0").slice(-5);
}
