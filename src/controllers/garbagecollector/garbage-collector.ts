/**
 * Deletes what has lost its owners: in the background once they are gone, in the foreground before they go, or lets it live on as an orphan. Same decisions as
 * kube-controller-manager's garbage collector; before anything is deleted its owners are looked up live.
 */
import type { ObjectMeta, OwnerReference } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { ResourceRef } from "#client/client.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { Reconciler } from "#client/reconciler.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { ensureDeleted, findObject } from "#client/find-object.ts";
import { OwnerGraph, foregroundFinalizer, isRightOwner, orphanFinalizer } from "./owner-graph.ts";
import type { GraphNode, Identity } from "./owner-graph.ts";
import { ResourceMonitors } from "./resource-monitors.ts";

/** Owners found absent are remembered: a thousand pods of one ReplicaSet ask for it once. */
const maxAbsentOwners = 500;

/** Makes the garbage collector. It shares the informers that exist when it starts. */
export function createGarbageCollector(context: ControllerContext): NamedController {
  return new GarbageCollector(context);
}

class GarbageCollector implements NamedController {
  readonly name = "garbage-collector-controller";
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #graph: OwnerGraph;
  readonly #monitors: ResourceMonitors;
  readonly #deletions: Reconciler;
  readonly #orphans: Reconciler;
  readonly #absentOwners = new Set<string>();
  readonly #abort = new AbortController();
  #starting: Promise<void> | undefined;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("garbage-collector-controller");
    this.#graph = new OwnerGraph({
      onSuspect: (node) => this.#deletions.enqueue(node.uid),
      onOrphan: (node) => this.#orphans.enqueue(node.uid),
      onWrongOwner: (node, owner) => this.#reportWrongOwner(node, owner),
    });
    const { client, informers, clock, logger } = context;
    this.#monitors = new ResourceMonitors({ client, informers, clock, logger, graph: this.#graph });
    const loop = (reconcile: (node: GraphNode, signal: AbortSignal) => Promise<void>) =>
      new Reconciler({
        name: this.name,
        workers: 20,
        clock,
        logger,
        reconcile: async (uid, signal) => {
          const node = this.#graph.find(uid);
          if (node !== undefined) await reconcile(node, signal);
        },
      });
    this.#deletions = loop((node, signal) => this.#attemptToDelete(node, signal));
    this.#orphans = loop((node, signal) => this.#orphanDependents(node, signal));
  }

  get isIdle(): boolean {
    return this.#deletions.isIdle && this.#orphans.isIdle;
  }

  /** Resolves at once: collecting begins when everything has been seen, and nobody waits for that. */
  async start(signal: AbortSignal): Promise<void> {
    const both = AbortSignal.any([signal, this.#abort.signal]);
    this.#starting = this.#startLoops(both);
  }

  async #startLoops(signal: AbortSignal): Promise<void> {
    try {
      await this.#monitors.start(signal);
      await this.#deletions.start(signal);
      await this.#orphans.start(signal);
    } catch (error) {
      if (!signal.aborted) this.#context.logger.error("Garbage collection could not start", { error });
    }
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error("the garbage collector was stopped"));
    await this.#starting;
    await this.#monitors.stop();
    await Promise.all([this.#deletions.stop(), this.#orphans.stop()]);
  }

  async #attemptToDelete(node: GraphNode, signal: AbortSignal): Promise<void> {
    if (!node.isVirtual && node.isDeleted && !node.isDeletingDependents) return;
    const latest = await this.#read(node.identity, signal);
    if (latest === undefined || latest.uid !== node.uid) return this.#onAbsent(node);
    if (node.isVirtual) return this.#onVirtualFound(node, latest);
    if (node.isDeletingDependents) return await this.#deleteDependentsFirst(node, latest, signal);
    await this.#judge(node, latest, signal);
  }

  /** The informer missed its end, or an owner never was: its dependents have lost it. */
  #onAbsent(node: GraphNode): void {
    this.#rememberAbsent(node.uid);
    this.#graph.forget(node.uid);
  }

  /** It exists, so its informer will show it; until then its dependents have an owner. */
  #onVirtualFound(node: GraphNode, latest: ObjectMeta): void {
    const resource = this.#resourceOf(node.identity);
    if (resource !== undefined) this.#graph.observe({ metadata: latest }, resource, node.kind.apiVersion);
  }

  /** In the foreground an object goes when no dependent is left that blocks it. */
  async #deleteDependentsFirst(node: GraphNode, latest: ObjectMeta, signal: AbortSignal): Promise<void> {
    const { uid } = node;
    const blocking = [...node.dependents].filter((dependent) =>
      dependent.owners.some((owner) => owner.uid === uid && owner.blockOwnerDeletion),
    );
    if (blocking.length === 0) return await this.#removeFinalizer(node.identity, latest, foregroundFinalizer, signal);
    for (const dependent of blocking) if (!dependent.isDeletingDependents) this.#deletions.enqueue(dependent.uid);
  }

  async #judge(node: GraphNode, latest: ObjectMeta, signal: AbortSignal): Promise<void> {
    const references = latest.ownerReferences ?? [];
    if (references.length === 0) return;
    const { solid, dangling, waiting } = await this.#classify(node, references, signal);
    if (solid.length > 0) {
      const lost = new Set([...dangling, ...waiting].map((owner) => owner.uid));
      if (lost.size === 0) return;
      const rest = references.filter((owner) => !lost.has(owner.uid));
      return await this.#patch(node.identity, latest, { ownerReferences: rest }, signal);
    }
    if (waiting.length > 0 && node.hasDependents) {
      await this.#breakCircle(node, latest, signal);
      return await this.#delete(node.identity, latest, "Foreground", signal, false);
    }
    const finalizers = latest.finalizers ?? [];
    const policy = finalizers.includes(orphanFinalizer)
      ? "Orphan"
      : finalizers.includes(foregroundFinalizer)
        ? "Foreground"
        : "Background";
    await this.#delete(node.identity, latest, policy, signal, true);
  }

  /** Sorts owners into those that are there, those that are not, and those that wait for their dependents to go. */
  async #classify(node: GraphNode, references: readonly OwnerReference[], signal: AbortSignal) {
    const solid: OwnerReference[] = [];
    const dangling: OwnerReference[] = [];
    const waiting: OwnerReference[] = [];
    for (const reference of references) {
      const owner = this.#graph.find(reference.uid);
      if (owner !== undefined && !owner.isVirtual) {
        if (!isRightOwner(owner, node)) dangling.push(reference);
        else (owner.isDeletingDependents ? waiting : solid).push(reference);
      } else if (await this.#exists(node, reference, signal)) solid.push(reference);
      else dangling.push(reference);
    }
    return { solid, dangling, waiting };
  }

  async #exists(node: GraphNode, reference: OwnerReference, signal: AbortSignal): Promise<boolean> {
    if (this.#absentOwners.has(reference.uid)) return false;
    const { apiVersion, kind, name, uid } = reference;
    const { namespace } = node;
    const latest = await this.#read({ resource: undefined, apiVersion, kind, namespace, name, uid }, signal);
    if (latest?.uid === uid) return true;
    this.#rememberAbsent(uid);
    return false;
  }

  /** A dependent that itself waits for this object would wait for ever: this object stops blocking its owners. */
  async #breakCircle(node: GraphNode, latest: ObjectMeta, signal: AbortSignal): Promise<void> {
    if (![...node.dependents].some((dependent) => dependent.isDeletingDependents)) return;
    const references = latest.ownerReferences ?? [];
    if (!references.some((owner) => owner.blockOwnerDeletion)) return;
    const ownerReferences = references.map((owner) => ({ ...owner, blockOwnerDeletion: false }));
    await this.#patch(node.identity, latest, { ownerReferences }, signal);
  }

  async #orphanDependents(node: GraphNode, signal: AbortSignal): Promise<void> {
    const { uid } = node;
    await Promise.all([...node.dependents].map((dependent) => this.#removeOwner(dependent, uid, signal)));
    const latest = await this.#read(node.identity, signal);
    if (latest?.uid === uid) await this.#removeFinalizer(node.identity, latest, orphanFinalizer, signal);
  }

  async #removeOwner(dependent: GraphNode, uid: string, signal: AbortSignal): Promise<void> {
    const latest = await this.#read(dependent.identity, signal);
    if (latest === undefined || latest.uid !== dependent.uid) return;
    const ownerReferences = (latest.ownerReferences ?? []).filter((owner) => owner.uid !== uid);
    if (ownerReferences.length === (latest.ownerReferences ?? []).length) return;
    await this.#patch(dependent.identity, latest, { ownerReferences }, signal);
  }

  async #removeFinalizer(
    identity: Identity,
    latest: ObjectMeta,
    finalizer: string,
    signal: AbortSignal,
  ): Promise<void> {
    const current = latest.finalizers ?? [];
    if (!current.includes(finalizer)) return;
    await this.#patch(identity, latest, { finalizers: current.filter((one) => one !== finalizer) }, signal);
  }

  /** Changes metadata as it was read: had anything changed meanwhile, the decision would have to be taken anew. */
  async #patch(identity: Identity, latest: ObjectMeta, change: object, signal: AbortSignal): Promise<void> {
    const ref = this.#refOf(identity);
    const { uid, resourceVersion } = latest;
    const body = { metadata: { uid, resourceVersion, ...change } };
    try {
      if (ref !== undefined) await this.#context.client.patch(ref, { type: "merge", body }, { signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }

  async #delete(
    identity: Identity,
    latest: ObjectMeta,
    propagationPolicy: "Orphan" | "Foreground" | "Background",
    signal: AbortSignal,
    isExact: boolean,
  ): Promise<void> {
    const ref = this.#refOf(identity);
    if (ref === undefined) return;
    const { uid } = identity;
    const exact = isExact && latest.resourceVersion !== undefined ? { resourceVersion: latest.resourceVersion } : {};
    await ensureDeleted(this.#context.client, ref, { propagationPolicy, preconditions: { uid, ...exact }, signal });
  }

  /** The object's metadata as it is now; undefined when it is not there. */
  async #read(identity: Identity, signal: AbortSignal): Promise<ObjectMeta | undefined> {
    const ref = this.#refOf(identity);
    if (ref === undefined) throw new Error(`no resource is known for ${identity.kind} of ${identity.apiVersion}`);
    return (await findObject(this.#context.client, ref, { metadataOnly: true, signal }))?.metadata;
  }

  #refOf(identity: Identity): ResourceRef | undefined {
    const resource = this.#resourceOf(identity);
    if (resource === undefined) return undefined;
    return { resource, name: identity.name, ...(resource.isNamespaced ? { namespace: identity.namespace } : {}) };
  }

  #resourceOf(identity: Identity): Identity["resource"] {
    return identity.resource ?? this.#monitors.findResource(identity.apiVersion, identity.kind);
  }

  #rememberAbsent(uid: string): void {
    this.#absentOwners.add(uid);
    if (this.#absentOwners.size <= maxAbsentOwners) return;
    const [oldest] = this.#absentOwners;
    this.#absentOwners.delete(oldest!);
  }

  #reportWrongOwner(node: GraphNode, owner: OwnerReference): void {
    const { apiVersion, kind, namespace, name, uid } = node.identity;
    const message = `ownerRef [${owner.apiVersion}/${owner.kind}, namespace: ${namespace}, name: ${owner.name}, uid: ${owner.uid}] does not exist in namespace "${namespace}"`;
    this.#events.record(
      { apiVersion, kind, namespace, name, uid },
      { type: "Warning", reason: "OwnerRefInvalidNamespace", message },
    );
  }
}
