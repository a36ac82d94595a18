/**
 * Watches the metadata of everything that can be deleted, kinds of CustomResourceDefinitions included, and feeds the graph. Where another part of the process follows a resource
 * already, that copy is used; else only what the graph needs of each object is kept.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { formatApiVersion } from "#apimachinery/meta.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { discoverResources } from "#client/discovery.ts";
import type { DiscoveredResource } from "#client/discovery.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { InformerSelection } from "#client/reflector.ts";
import type { OwnerGraph } from "./owner-graph.ts";

/** After a change of definitions the server needs a moment until discovery shows it. */
const settleMs = 1000;
/** Kinds of aggregated servers come and go without an event that we see. */
const rediscoverMs = 5 * 60_000;
/** An aggregated server that does not answer may do so soon; nobody tells when. */
const staleMs = 30_000;
/** At the start a kind that cannot be listed holds up the rest only so long. */
const syncTimeoutMs = 30_000;

/** Kinds that never own or are owned in a way that matters, and change all the time. */
const ignored: ReadonlySet<string> = new Set(["events", "events.events.k8s.io"]);

/** Kinds whose changes mean that there may be other kinds. */
const definitions: readonly GroupVersionResource[] = [
  { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" },
  { group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" },
];

type Monitor = {
  readonly resource: DiscoveredResource;
  readonly informer: Informer<KubeObject>;
  /** Another part follows the kind anyway. */
  readonly isShared: boolean;
  readonly stop: () => Promise<void>;
};

export type MonitorOptions = {
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly graph: OwnerGraph;
};

export class ResourceMonitors {
  readonly #options: MonitorOptions;
  readonly #monitors = new Map<string, Monitor>();
  readonly #abort = new AbortController();
  #timer: { readonly dueMs: number; readonly timer: Timer } | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Resolves when every kind that can be listed is in. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#sync();
    const enough = new AbortController();
    const timer = this.#options.clock.setTimer(syncTimeoutMs, () =>
      enough.abort(new Error("some kinds cannot be listed")),
    );
    const all = AbortSignal.any([signal, this.#abort.signal, enough.signal]);
    try {
      await Promise.all([...this.#monitors.values()].map(({ informer }) => informer.waitForSync(all)));
    } catch (error) {
      if (!enough.signal.aborted) throw error;
      this.#options.logger.warn("Some kinds could not be listed for garbage collection");
    } finally {
      timer.clear();
    }
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error("the garbage collector was stopped"));
    this.#timer?.timer.clear();
    await this.#running;
    await Promise.all([...this.#monitors.values()].map((monitor) => monitor.stop()));
    this.#monitors.clear();
  }

  /** The resource of a kind, or undefined when the server has none of it. */
  findResource(apiVersion: string, kind: string): DiscoveredResource | undefined {
    const group = apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
    for (const { resource } of this.#monitors.values())
      if (resource.kind === kind && resource.group === group) return resource;
    return undefined;
  }

  /** Looks for new and gone kinds soon. */
  refresh(afterMs: number = settleMs): void {
    if (this.#abort.signal.aborted) return;
    const dueMs = this.#options.clock.now() + afterMs;
    if (this.#timer !== undefined && this.#timer.dueMs <= dueMs) return;
    this.#timer?.timer.clear();
    const timer = this.#options.clock.setTimer(afterMs, () => {
      this.#timer = undefined;
      this.#running = this.#running.then(() => this.#sync());
    });
    this.#timer = { dueMs, timer };
  }

  /** Never rejects: what failed is tried again. */
  async #sync(): Promise<void> {
    try {
      const { resources, failed } = await discoverResources(this.#options.client, this.#abort.signal);
      await this.#setResources(resources.filter(isCollectable), failed);
      this.refresh(failed.length > 0 ? staleMs : rediscoverMs);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#options.logger.debug("Discovery failed for garbage collection", { error: String(error) });
      this.refresh();
    }
  }

  async #setResources(resources: readonly DiscoveredResource[], failed: readonly string[]): Promise<void> {
    const wanted = new Map(resources.map((resource) => [nameOf(resource), resource]));
    for (const [name, monitor] of this.#monitors) {
      const next = wanted.get(name);
      // A group that cannot be read now is not gone.
      if (next === undefined && failed.some((one) => one.startsWith(`${monitor.resource.group}/`))) continue;
      if (next?.version === monitor.resource.version && next.kind === monitor.resource.kind) continue;
      this.#monitors.delete(name);
      await monitor.stop();
      if (next === undefined) this.#forgetAll(monitor.resource);
    }
    for (const [name, resource] of wanted) {
      const known = this.#monitors.get(name);
      if (known === undefined) this.#monitors.set(name, this.#follow(resource));
      else if (!known.isShared) await this.#shareIfPossible(name, known);
    }
  }

  /** Another part has begun to follow the kind since: one copy of its objects is enough. */
  async #shareIfPossible(name: string, own: Monitor): Promise<void> {
    const shared = this.#options.informers.find(own.resource);
    if (shared === undefined || !shared.hasSynced()) return;
    this.#monitors.set(name, this.#follow(own.resource));
    // What is gone for the one and not yet for the other nobody would tell of any more.
    for (const { metadata } of own.informer.lister.list()) {
      const { namespace = "", name: ownName = "", uid = "" } = metadata ?? {};
      if (shared.lister.find(namespace, ownName)?.metadata?.uid !== uid) this.#options.graph.forget(uid);
    }
    await own.stop();
  }

  #follow(resource: DiscoveredResource): Monitor {
    const { informers, graph } = this.#options;
    const { group, version, resource: plural } = resource;
    const selection: InformerSelection = {
      resource: { group, version, resource: plural },
      metadataOnly: true,
      transform: essence,
    };
    const shared = informers.find(selection.resource);
    const informer = shared ?? informers.informer(selection);
    const apiVersion = formatApiVersion(resource);
    const refresh = definitions.some((one) => one.group === group && one.resource === plural)
      ? () => this.refresh()
      : () => {};
    const disconnect = informer.addHandler({
      onAdd: (object, isInInitialList) => {
        graph.observe(object, resource, apiVersion);
        if (!isInInitialList) refresh();
      },
      onUpdate: (_before, object) => {
        graph.observe(object, resource, apiVersion);
        refresh();
      },
      onDelete: (object) => {
        graph.forget(object.metadata?.uid ?? "");
        refresh();
      },
    });
    const stop = async () => {
      disconnect();
      if (shared === undefined) await informers.release(selection);
    };
    return { resource, informer, isShared: shared !== undefined, stop };
  }

  #forgetAll(resource: DiscoveredResource): void {
    const isOfKind = ({ group, resource: plural }: DiscoveredResource) =>
      group === resource.group && plural === resource.resource;
    for (const { kind, uid } of this.#options.graph.nodes()) {
      if (kind.resource !== undefined && isOfKind(kind.resource)) this.#options.graph.forget(uid);
    }
  }
}

function isCollectable(resource: DiscoveredResource): boolean {
  const isIgnored = ignored.has(resource.group === "" ? resource.resource : nameOf(resource));
  return !isIgnored && ["delete", "list", "watch"].every((verb) => resource.verbs.includes(verb));
}

function nameOf({ group, resource }: GroupVersionResource): string {
  return `${resource}.${group}`;
}

/** What the graph and the informer need of an object. */
function essence(object: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp } =
    object.metadata ?? {};
  return {
    metadata: {
      name: name ?? "",
      ...(namespace === undefined ? {} : { namespace }),
      uid: uid ?? "",
      resourceVersion: resourceVersion ?? "",
      ...(ownerReferences === undefined ? {} : { ownerReferences }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
  };
}
