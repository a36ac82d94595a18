/**
 * Keeps as many pods of one template as a ReplicaSet (or a ReplicationController) asks for. Same algorithm as kube-controller-manager's, expectations included.
 */
import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "#api/generated/types/apps-v1.ts";
import type { Pod, PodTemplateSpec } from "#api/generated/types/core-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { compileLabelSelector, matchesLabels, matchesSelector } from "#apimachinery/label-selector.ts";
import type { Selector } from "#apimachinery/label-selector.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { findCondition, withCondition, withoutCondition } from "#controllers/common/conditions.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { Expectations } from "#controllers/common/expectations.ts";
import { controllerOf, isControlledBy } from "#apimachinery/owner-references.ts";
import { claimObjects } from "#controllers/common/owners.ts";
import {
  PodControl,
  isNamespaceTerminating,
  isPodActive,
  isPodAvailable,
  isPodFinished,
  isPodReady,
  isPodTerminating,
  nextAvailabilityMs,
  podFromTemplate,
  slowStart,
} from "#controllers/common/pods.ts";
import {
  byController,
  byOrphanNamespace,
  ownedInformer,
  podInformer,
  replicaSets,
} from "#controllers/common/resources.ts";
import { StatusLull } from "#controllers/common/status-lull.ts";
import { podsToDelete } from "./deletion-order.ts";

/** Most pods created or deleted in one reconcile. As upstream. */
const burstReplicas = 500;
const podsPerMs = 50;
const maxBatchMs = 200;

/** What differs between the kinds that keep replicas: the names, and how the selector is written. */
export type ReplicaKind<T extends KubeObject> = {
  readonly controllerName: string;
  readonly component: string;
  readonly kind: string;
  readonly resource: GroupVersionResource;
  readonly selectorOf: (set: T) => Selector;
  /** Whether status.terminatingReplicas is a field of the kind. */
  readonly countsTerminating: boolean;
};

/** The part of ReplicaSet that ReplicationController has too. */
type ReplicaOwner = KubeObject & {
  readonly spec?: {
    readonly replicas?: number;
    readonly minReadySeconds?: number;
    readonly template?: PodTemplateSpec;
  };
  readonly status?: Partial<ReplicaSetStatus>;
};

/** The controller of ReplicaSets. */
export function createReplicaSetController(context: ControllerContext): NamedController {
  return new ReplicaController<ReplicaSet>(context, {
    controllerName: "replicaset-controller",
    component: "replicaset-controller",
    kind: "ReplicaSet",
    resource: replicaSets,
    selectorOf: (set) => compileLabelSelector(set.spec?.selector),
    countsTerminating: true,
  }).controller;
}

export class ReplicaController<T extends ReplicaOwner> {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #kind: ReplicaKind<T>;
  readonly #sets: Informer<T>;
  readonly #pods: Informer<Pod>;
  readonly #expectations: Expectations;
  readonly #podControl: PodControl;
  readonly #lull: StatusLull;

  constructor(context: ControllerContext, kind: ReplicaKind<T>) {
    this.#context = context;
    this.#kind = kind;
    this.#expectations = new Expectations(context.clock);
    this.#lull = new StatusLull(context.clock);
    this.#podControl = new PodControl(context.client, context.recorderFor(kind.component));
    this.controller = new KeyedController(context, {
      name: kind.controllerName,
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    this.#sets = this.controller.watch(ownedInformer<T>(context, kind.resource), {
      onAdd: (set) => this.#enqueue(set),
      onUpdate: (_before, set) => this.#enqueue(set),
      onDelete: (set) => this.#onSetDeleted(set),
    });
    this.#pods = this.controller.watch(podInformer(context), {
      onAdd: (pod) => this.#onPodAdded(pod),
      onUpdate: (before, pod) => this.#onPodUpdated(before, pod),
      onDelete: (pod) => this.#onPodDeleted(pod),
    });
  }

  #enqueue(set: KubeObject): void {
    this.controller.queue.add(keyOf(set));
  }

  /** A look at a large set costs something, and its pods change many at a time: then several changes wait for one look, 20 ms for a thousand pods. */
  #enqueueForPod(set: T): void {
    this.controller.queue.addAfter(keyOf(set), Math.min(maxBatchMs, Math.floor((set.spec?.replicas ?? 1) / podsPerMs)));
  }

  #onSetDeleted(set: T): void {
    this.#expectations.delete(keyOf(set));
    this.#lull.end(keyOf(set));
    this.#enqueue(set);
  }

  #onPodAdded(pod: Pod): void {
    // After a restart a pod that is on its way out may come as new.
    if (isPodTerminating(pod)) return this.#onPodDeleted(pod);
    const set = this.#setOf(pod);
    if (set === undefined) return this.#enqueueAdopters(pod);
    this.#expectations.creationObserved(keyOf(set));
    this.#enqueueForPod(set);
  }

  #onPodUpdated(before: Pod, pod: Pod): void {
    if (isPodTerminating(pod)) return this.#onPodDeleted(pod);
    const [oldSet, set] = [this.#setOf(before), this.#setOf(pod)];
    if (oldSet !== undefined && oldSet !== set) this.#enqueue(oldSet);
    if (set !== undefined) return this.#enqueueForPod(set);
    const isChanged =
      controllerOf(before) !== undefined || !semanticEqual(before.metadata?.labels, pod.metadata?.labels);
    if (isChanged) this.#enqueueAdopters(pod);
  }

  #onPodDeleted(pod: Pod): void {
    const set = this.#setOf(pod);
    if (set === undefined) return;
    this.#expectations.deletionObserved(keyOf(set), pod.metadata?.uid ?? "");
    this.#enqueueForPod(set);
  }

  /** The set that the pod's controller reference names, if it is the same one still. */
  #setOf(pod: Pod): T | undefined {
    const owner = controllerOf(pod);
    if (owner?.kind !== this.#kind.kind) return undefined;
    const set = this.#sets.lister.find(pod.metadata?.namespace ?? "", owner.name);
    return set?.metadata?.uid === owner.uid ? set : undefined;
  }

  #enqueueAdopters(pod: Pod): void {
    if (controllerOf(pod) !== undefined) return;
    for (const set of this.#sets.lister.list(pod.metadata?.namespace ?? "")) {
      if (matchesSelector(this.#kind.selectorOf(set), pod.metadata?.labels)) this.#enqueue(set);
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const set = this.#sets.lister.find(namespace, name);
    if (set === undefined) return this.#expectations.delete(key);
    const needsSync = this.#expectations.isSatisfied(key);
    const candidates = this.#candidates(set);
    const active = await this.#claim(set, candidates.filter(isPodActive), signal);
    const terminating = candidates.filter(
      (pod) => isPodTerminating(pod) && !isPodFinished(pod) && isControlledBy(pod, set),
    );

    let failure: unknown;
    if (needsSync && set.metadata?.deletionTimestamp === undefined)
      failure = await this.#manageReplicas(set, active, signal);
    const status = this.#statusOf(set, active, terminating.length, failure);
    const lullMs = await this.#updateStatus(set, status, signal);
    if (failure !== undefined) throw failure;
    const availabilityMs = nextAvailabilityMs(active, set.spec?.minReadySeconds ?? 0, this.#context.clock.now());
    return lullMs === undefined ? availabilityMs : Math.min(lullMs, availabilityMs ?? lullMs);
  }

  #candidates(set: T): readonly Pod[] {
    const { uid = "", namespace = "" } = set.metadata ?? {};
    const { lister } = this.#pods;
    return [...lister.byIndex(byController, uid), ...lister.byIndex(byOrphanNamespace, namespace)];
  }

  #claim(set: T, candidates: readonly Pod[], signal: AbortSignal): Promise<readonly Pod[]> {
    return claimObjects({
      client: this.#context.client,
      resource: { group: "", version: "v1", resource: "pods" },
      owner: set,
      ownerResource: this.#kind.resource,
      selector: this.#kind.selectorOf(set),
      candidates,
      signal,
    });
  }

  /** Creates or deletes what is missing or too much. Gives the first error. */
  async #manageReplicas(set: T, active: readonly Pod[], signal: AbortSignal): Promise<unknown> {
    const missing = (set.spec?.replicas ?? 1) - active.length;
    if (missing > 0) return await this.#createPods(set, Math.min(missing, burstReplicas), signal);
    if (missing < 0) return await this.#deletePods(set, active, Math.min(-missing, burstReplicas), signal);
    return undefined;
  }

  async #createPods(set: T, count: number, signal: AbortSignal): Promise<unknown> {
    const key = keyOf(set);
    this.#expectations.expectCreations(key, count);
    const pod = podFromTemplate(set.spec?.template, set);
    const { successes, error } = await slowStart(count, async () => {
      try {
        await this.#podControl.create(pod, set, signal);
      } catch (failure) {
        // Nothing can be created any more, which is as it should be; the expectation runs out with the set.
        if (!isNamespaceTerminating(failure)) throw failure;
      }
    });
    for (let skipped = successes; skipped < count; skipped++) this.#expectations.creationObserved(key);
    return error;
  }

  async #deletePods(set: T, active: readonly Pod[], count: number, signal: AbortSignal): Promise<unknown> {
    const key = keyOf(set);
    const victims = podsToDelete(active, this.#relatedPods(set), count, this.#context.clock.now());
    this.#expectations.expectDeletions(
      key,
      victims.map((pod) => pod.metadata?.uid ?? ""),
    );
    let firstError: unknown;
    const remove = async (pod: Pod) => {
      try {
        await this.#podControl.delete(pod, set, signal);
      } catch (error) {
        this.#expectations.deletionObserved(key, pod.metadata?.uid ?? "");
        if (!hasReason(error, "NotFound")) firstError ??= error;
      }
    };
    await Promise.all(victims.map(remove));
    return firstError;
  }

  /** Pods of all sets that have the same controller as this one: of a Deployment's old and new ones. */
  #relatedPods(set: T): readonly Pod[] {
    const owner = controllerOf(set);
    const uids =
      owner === undefined ? [] : this.#sets.lister.byIndex(byController, owner.uid).map((one) => one.metadata?.uid);
    const all = new Set([...uids, set.metadata?.uid]);
    return [...all].flatMap((uid) => this.#pods.lister.byIndex(byController, uid ?? ""));
  }

  /** Gives when it will write, where that is not now. */
  async #updateStatus(set: T, status: ReplicaSetStatus, signal: AbortSignal): Promise<number | undefined> {
    const key = keyOf(set);
    if (semanticEqual(withoutZeros(set.status), withoutZeros(status))) {
      this.#lull.end(key);
      return undefined;
    }
    const lullMs = this.#lull.leftMs(key, !semanticEqual(awaitedOf(set.status), awaitedOf(status)));
    if (lullMs !== undefined) return lullMs;
    const { namespace = "", name = "" } = set.metadata ?? {};
    const ref = { resource: this.#kind.resource, namespace, name, subresource: "status" };
    await this.#context.client.update(ref, { ...set, status }, { signal });
    return undefined;
  }

  #statusOf(set: T, active: readonly Pod[], terminating: number, failure: unknown): ReplicaSetStatus {
    const nowMs = this.#context.clock.now();
    const minReadySeconds = set.spec?.minReadySeconds ?? 0;
    const templateLabels = set.spec?.template?.metadata?.labels ?? {};
    const conditions = this.#conditionsOf(set, active.length, failure);
    return {
      replicas: active.length,
      fullyLabeledReplicas: active.filter((pod) => matchesLabels(templateLabels, pod.metadata?.labels)).length,
      readyReplicas: active.filter(isPodReady).length,
      availableReplicas: active.filter((pod) => isPodAvailable(pod, minReadySeconds, nowMs)).length,
      ...(this.#kind.countsTerminating ? { terminatingReplicas: terminating } : {}),
      observedGeneration: set.metadata?.generation ?? 0,
      ...(conditions.length === 0 ? {} : { conditions }),
    };
  }

  #conditionsOf(set: T, activeCount: number, failure: unknown): readonly ReplicaSetCondition[] {
    const current = set.status?.conditions;
    if (failure === undefined) return withoutCondition(current, "ReplicaFailure");
    if (findCondition(current, "ReplicaFailure") !== undefined) return current ?? [];
    const reason = activeCount < (set.spec?.replicas ?? 1) ? "FailedCreate" : "FailedDelete";
    const message = failure instanceof Error ? failure.message : String(failure);
    const lastTransitionTime = formatTime(this.#context.clock.now());
    return withCondition(current, { type: "ReplicaFailure", status: "True", reason, message, lastTransitionTime });
  }
}

/** What somebody may wait for. */
function awaitedOf(status: Partial<ReplicaSetStatus> | undefined): object {
  const { readyReplicas = 0, availableReplicas = 0, conditions = [] } = status ?? {};
  return { readyReplicas, availableReplicas, conditions };
}

/** Counts of zero are left out on the wire by some servers and kept by others. */
function withoutZeros(status: object | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
