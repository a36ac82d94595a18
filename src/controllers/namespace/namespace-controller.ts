/**
 * Empties namespaces that are being deleted: everything in them, whatever its kind, pods first; then takes the finalizer `kubernetes` away, and with it the namespace.
 */
import type { Namespace, NamespaceCondition, Pod } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { StatusError, hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import { discoverResources } from "#client/discovery.ts";
import type { DiscoveredResource } from "#client/discovery.ts";
import { findCondition, withoutCondition } from "#controllers/common/conditions.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { findObject } from "#client/find-object.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { namespaceInformer, namespaces, podInformer } from "#controllers/common/resources.ts";
import { describeContent } from "./deletion-conditions.ts";
import type { Remains } from "./deletion-conditions.ts";

const finalizer = "kubernetes";
/** Looks again after 100 ms, 200 ms, … 5 s: what holds the content is not seen by an event we watch. */
const firstLookMs = 100;
const maxLookMs = 5000;
/** Kinds deleted at the same time. */
const parallelism = 10;

/** The controller of Namespaces. Keys are their names. */
export function createNamespaceController(context: ControllerContext): NamedController {
  return new NamespaceController(context).controller;
}

class NamespaceController {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  /** How often each namespace was found not empty. */
  readonly #looks = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.controller = new KeyedController(context, {
      name: "namespace-controller",
      workers: 10,
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    const enqueue = (namespace: Namespace) => {
      if (namespace.metadata?.deletionTimestamp !== undefined) queue.add(namespace.metadata.name ?? "");
    };
    this.controller.watch(namespaceInformer(context), {
      onAdd: enqueue,
      onUpdate: (before, namespace) => {
        const hasBegun = before.metadata?.deletionTimestamp === undefined;
        if (hasBegun || !semanticEqual(before.spec, namespace.spec)) enqueue(namespace);
      },
      onDelete: (namespace) => this.#looks.delete(namespace.metadata?.name ?? ""),
    });
    this.controller.watch(podInformer(context), {
      onDelete: (pod: Pod) => {
        const namespace = pod.metadata?.namespace ?? "";
        if (this.#looks.has(namespace)) queue.add(namespace);
      },
    });
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<number | void> {
    const namespace = await findObject<Namespace>(this.#context.client, { resource: namespaces, name }, { signal });
    if (namespace?.metadata?.deletionTimestamp === undefined) return;
    if (!(namespace.spec?.finalizers ?? []).includes(finalizer)) return;
    const remains = await this.#deleteContent(name, signal);
    await this.#writeConditions(namespace, remains, signal);
    if (remains.counts.size === 0 && remains.failures.length === 0 && remains.failedGroups.length === 0) {
      return await this.#finalize(name, signal);
    }
    const looks = this.#looks.get(name) ?? 0;
    this.#looks.set(name, looks + 1);
    return Math.min(maxLookMs, firstLookMs * 2 ** looks);
  }

  /** Deletes everything and tells what is there still. While pods are, nothing else is touched: they may need it to end well. */
  async #deleteContent(namespace: string, signal: AbortSignal): Promise<Remains> {
    const { resources, failed } = await discoverResources(this.#context.client, signal);
    const remains: Remains = { counts: new Map(), finalizers: new Map(), failures: [], failedGroups: failed };
    const deletable = resources.filter((resource) => resource.isNamespaced && resource.verbs.includes("delete"));
    const isPods = (resource: DiscoveredResource) => resource.group === "" && resource.resource === "pods";
    await this.#deleteAll(deletable.filter(isPods), namespace, remains, signal);
    if (remains.counts.size > 0 || remains.failures.length > 0) return remains;
    await this.#deleteAll(
      deletable.filter((resource) => !isPods(resource)),
      namespace,
      remains,
      signal,
    );
    return remains;
  }

  async #deleteAll(
    resources: readonly DiscoveredResource[],
    namespace: string,
    remains: Remains,
    signal: AbortSignal,
  ): Promise<void> {
    const waiting = [...resources];
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await this.#deleteKind(next, namespace, remains, signal);
      }
    };
    await Promise.all(Array.from({ length: parallelism }, work));
  }

  async #deleteKind(
    resource: DiscoveredResource,
    namespace: string,
    remains: Remains,
    signal: AbortSignal,
  ): Promise<void> {
    if (!resource.verbs.includes("list")) return;
    const ref = { resource, namespace };
    const { client } = this.#context;
    try {
      const before = await client.list(ref, { metadataOnly: true, signal });
      if (before.items.length === 0) return;
      if (resource.verbs.includes("deletecollection")) {
        await client.deleteCollection(ref, {}, { propagationPolicy: "Background", signal });
      } else {
        for (const item of before.items) await this.#deleteOne(ref, item, signal);
      }
      const after = await client.list(ref, { metadataOnly: true, signal });
      count(resource, after.items, remains);
    } catch (error) {
      signal.throwIfAborted();
      // The kind was removed meanwhile, or does not know the verb after all.
      if (error instanceof StatusError && (error.code === 404 || error.code === 405)) return;
      remains.failures.push(error instanceof Error ? error.message : String(error));
    }
  }

  async #deleteOne(
    ref: { readonly resource: DiscoveredResource; readonly namespace: string },
    item: KubeObject,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const name = item.metadata?.name ?? "";
      await this.#context.client.delete({ ...ref, name }, { propagationPolicy: "Background", signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }

  async #writeConditions(namespace: Namespace, remains: Remains, signal: AbortSignal): Promise<void> {
    const now = formatTime(this.#context.clock.now());
    let conditions: readonly NamespaceCondition[] = namespace.status?.conditions ?? [];
    for (const next of describeContent(remains)) {
      const current = findCondition(conditions, next.type);
      if (current === undefined && next.status === "False") continue;
      if (current?.status === next.status && current.message === next.message) continue;
      const lastTransitionTime = current?.status === next.status ? (current.lastTransitionTime ?? now) : now;
      conditions = [...withoutCondition(conditions, next.type), { ...next, lastTransitionTime }];
    }
    if (semanticEqual(conditions, namespace.status?.conditions)) return;
    const ref = { resource: namespaces, name: namespace.metadata?.name ?? "", subresource: "status" };
    const status = { ...namespace.status, phase: "Terminating", conditions };
    await this.#context.client.update(ref, { ...namespace, status }, { signal });
  }

  async #finalize(name: string, signal: AbortSignal): Promise<void> {
    const namespace = await findObject<Namespace>(this.#context.client, { resource: namespaces, name }, { signal });
    if (namespace === undefined) return;
    const finalizers = (namespace.spec?.finalizers ?? []).filter((one) => one !== finalizer);
    const ref = { resource: namespaces, name, subresource: "finalize" };
    await this.#context.client.update(ref, { ...namespace, spec: { ...namespace.spec, finalizers } }, { signal });
    this.#looks.delete(name);
  }
}

function count(resource: DiscoveredResource, items: readonly KubeObject[], remains: Remains): void {
  if (items.length === 0) return;
  remains.counts.set(`${resource.resource}.${resource.group}`, items.length);
  for (const item of items) {
    for (const one of item.metadata?.finalizers ?? [])
      remains.finalizers.set(one, (remains.finalizers.get(one) ?? 0) + 1);
  }
}
