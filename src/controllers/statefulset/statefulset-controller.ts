/**
 * Runs StatefulSets: pods with lasting names and storage, made in order, ended in reverse order, replaced one by one from the highest ordinal down. Same algorithm as
 * kube-controller-manager's.
 */
import type { ControllerRevision, StatefulSet, StatefulSetStatus } from "#api/generated/types/apps-v1.ts";
import type { PersistentVolumeClaim, Pod } from "#api/generated/types/core-v1.ts";
import { compileLabelSelector, matchesLabelSelector } from "#apimachinery/label-selector.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { byNumber, ensureRevision, pruneRevisions, templateOf } from "#controllers/common/history.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { claimObjects } from "#controllers/common/owners.ts";
import {
  isNamespaceTerminating,
  isPodAvailable,
  isPodFinished,
  isPodTerminating,
  nextAvailabilityMs,
} from "#controllers/common/pods.ts";
import {
  byController,
  byOrphanNamespace,
  controllerRevisions,
  ownedInformer,
  persistentVolumeClaims,
  podInformer,
  pods as podsResource,
  statefulSets,
} from "#controllers/common/resources.ts";
import {
  claimsFor,
  identityLabels,
  isRunningAndReady,
  isUnavailable,
  ordinalOf,
  podFor,
  revisionOf,
  wantedOrdinals,
} from "./stateful-pods.ts";

const hashLabel = "controller.kubernetes.io/hash";

/** The controller of StatefulSets. */
export function createStatefulSetController(context: ControllerContext): NamedController {
  return new StatefulSetController(context).controller;
}

/** The revisions between which a set moves. */
type Revisions = {
  readonly current: ControllerRevision;
  readonly update: ControllerRevision;
  readonly collisionCount: number;
};

class StatefulSetController {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #sets: Informer<StatefulSet>;
  readonly #pods: Informer<Pod>;
  readonly #revisions: Informer<ControllerRevision>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("statefulset-controller");
    this.controller = new KeyedController(context, {
      name: "statefulset-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    this.#sets = this.controller.watch(context.informers.informer<StatefulSet>({ resource: statefulSets }), {
      onAdd: (set) => queue.add(keyOf(set)),
      onUpdate: (_before, set) => queue.add(keyOf(set)),
    });
    this.#pods = this.controller.watch(podInformer(context), {
      onAdd: (pod) => this.#onPod(pod),
      onUpdate: (before, pod) => {
        if (controllerOf(before)?.uid !== controllerOf(pod)?.uid) this.#onPod(before);
        this.#onPod(pod);
      },
      onDelete: (pod) => this.#onPod(pod),
    });
    this.#revisions = this.controller.watch(ownedInformer<ControllerRevision>(context, controllerRevisions));
  }

  #onPod(pod: Pod): void {
    const owner = controllerOf(pod);
    const namespace = pod.metadata?.namespace ?? "";
    if (owner === undefined) {
      for (const set of this.#sets.lister.list(namespace)) {
        if (matchesLabelSelector(set.spec?.selector, pod.metadata?.labels)) this.controller.queue.add(keyOf(set));
      }
      return;
    }
    const set = owner.kind === "StatefulSet" ? this.#sets.lister.find(namespace, owner.name) : undefined;
    if (set?.metadata?.uid === owner.uid) this.controller.queue.add(keyOf(set));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const set = this.#sets.lister.find(namespace, name);
    if (set === undefined) return;
    const claimed = await this.#claim(set, signal);
    const existing = this.#revisions.lister.byIndex(byController, set.metadata?.uid ?? "");
    const revisions = await this.#syncRevisions(set, existing, signal);
    const nowMs = this.#context.clock.now();
    const pods = claimed.filter((pod) => ordinalOf(pod, set) !== undefined);
    const look = new StatefulLook({
      context: this.#context,
      events: this.#events,
      set,
      pods,
      revisions,
      nowMs,
      signal,
    });
    let failure: unknown;
    try {
      if (set.metadata?.deletionTimestamp === undefined) await look.step();
    } catch (error) {
      failure = error;
    }
    await this.#writeStatus(set, look.status(), signal);
    if (failure !== undefined) throw failure;
    const inUse = new Set([revisions.current, revisions.update].map((one) => one.metadata?.name ?? ""));
    for (const pod of pods) inUse.add(revisionOf(pod));
    await pruneRevisions(this.#context.client, existing, {
      limit: set.spec?.revisionHistoryLimit ?? 10,
      inUse,
      signal,
    });
    return nextAvailabilityMs(pods, set.spec?.minReadySeconds ?? 0, nowMs);
  }

  #claim(set: StatefulSet, signal: AbortSignal): Promise<readonly Pod[]> {
    const { uid = "", namespace = "" } = set.metadata ?? {};
    const { lister } = this.#pods;
    const orphans = lister.byIndex(byOrphanNamespace, namespace).filter((pod) => ordinalOf(pod, set) !== undefined);
    return claimObjects({
      client: this.#context.client,
      resource: podsResource,
      owner: set,
      ownerResource: statefulSets,
      selector: compileLabelSelector(set.spec?.selector),
      candidates: [...lister.byIndex(byController, uid), ...orphans],
      signal,
    });
  }

  async #syncRevisions(
    set: StatefulSet,
    existing: readonly ControllerRevision[],
    signal: AbortSignal,
  ): Promise<Revisions> {
    const { client } = this.#context;
    const { collisionCount = 0, currentRevision } = set.status ?? {};
    const options = { client, owner: set, template: set.spec?.template, existing, hashLabel, collisionCount, signal };
    const { revision: update, collisionCount: grown } = await ensureRevision(options);
    const current = byNumber(existing).find((one) => one.metadata?.name === currentRevision) ?? update;
    return { current, update, collisionCount: grown };
  }

  async #writeStatus(set: StatefulSet, status: StatefulSetStatus, signal: AbortSignal): Promise<void> {
    if (semanticEqual(withoutZeros(set.status), withoutZeros(status))) return;
    const { namespace = "", name = "" } = set.metadata ?? {};
    const ref = { resource: statefulSets, namespace, name, subresource: "status" };
    await this.#context.client.update(ref, { ...set, status }, { signal });
  }
}

type LookOptions = {
  readonly context: ControllerContext;
  readonly events: EventRecorder;
  readonly set: StatefulSet;
  readonly pods: readonly Pod[];
  readonly revisions: Revisions;
  readonly nowMs: number;
  readonly signal: AbortSignal;
};

/** One look at one set, and the next step. */
class StatefulLook {
  readonly #options: LookOptions;
  readonly #isOrdered: boolean;
  /** Pods that should be, by ordinal, lowest first; undefined where there is none. */
  readonly #replicas: readonly { readonly ordinal: number; readonly pod: Pod | undefined }[];
  /** Pods beyond the wanted ordinals, highest first. */
  readonly #condemned: readonly Pod[];
  #deletedForUpdate = 0;

  constructor(options: LookOptions) {
    const { set, pods } = options;
    this.#options = options;
    this.#isOrdered = set.spec?.podManagementPolicy !== "Parallel";
    const wanted = wantedOrdinals(set);
    const byOrdinal = new Map(pods.map((pod) => [ordinalOf(pod, set)!, pod]));
    this.#replicas = wanted.map((ordinal) => ({ ordinal, pod: byOrdinal.get(ordinal) }));
    const surplus = [...byOrdinal].filter(([ordinal]) => !wanted.includes(ordinal));
    this.#condemned = surplus.sort(([a], [b]) => b - a).map(([, pod]) => pod);
  }

  /** Does what can be done now; the rest waits for what comes of it. */
  async step(): Promise<void> {
    for (const { ordinal, pod } of this.#replicas) {
      if ((await this.#processReplica(ordinal, pod)) && this.#isOrdered) return;
    }
    const isEveryoneThere = this.#replicas.every(({ pod }) => pod !== undefined && !isPodFinished(pod));
    if (!isEveryoneThere) return;
    for (const pod of this.#condemned) {
      if ((await this.#processCondemned(pod)) && this.#isOrdered) return;
    }
    if (this.#options.set.spec?.updateStrategy?.type !== "OnDelete") await this.#rollOut();
  }

  /** True when the set cannot go on beyond this pod for now. */
  async #processReplica(ordinal: number, pod: Pod | undefined): Promise<boolean> {
    const { set, nowMs } = this.#options;
    if (pod === undefined) {
      await this.#create(ordinal);
      return true;
    }
    if (isPodFinished(pod)) {
      if (!isPodTerminating(pod)) await this.#delete(pod);
      return true;
    }
    if (pod.status?.phase === "Pending") await this.#createClaims(ordinal, pod);
    if (this.#isOrdered && isUnavailable(pod, set, nowMs)) return true;
    if (!isPodTerminating(pod)) await this.#keepIdentity(ordinal, pod);
    return false;
  }

  async #processCondemned(pod: Pod): Promise<boolean> {
    const { set, nowMs } = this.#options;
    if (isPodTerminating(pod)) return this.#isOrdered;
    const isHealthy = !isUnavailable(pod, set, nowMs);
    if (!isHealthy && this.#isOrdered && pod !== this.#firstUnhealthy()) return true;
    await this.#releaseClaims(pod);
    await this.#delete(pod);
    return true;
  }

  #firstUnhealthy(): Pod | undefined {
    const { set, nowMs } = this.#options;
    const lowestFirst = [...this.#replicas.map(({ pod }) => pod), ...this.#condemned.toReversed()];
    return lowestFirst.find((pod) => pod !== undefined && isUnavailable(pod, set, nowMs));
  }

  /** Replaces one pod of an old revision, from the highest ordinal down, and waits for each new one. */
  async #rollOut(): Promise<void> {
    const { set, revisions, nowMs } = this.#options;
    const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
    for (const { pod } of this.#replicas.slice(partition).reverse()) {
      if (pod === undefined) return;
      if (revisionOf(pod) !== revisions.update.metadata?.name && !isPodTerminating(pod)) {
        await this.#delete(pod);
        if (revisionOf(pod) === revisions.current.metadata?.name) this.#deletedForUpdate++;
        return;
      }
      if (isUnavailable(pod, set, nowMs)) return;
    }
  }

  async #create(ordinal: number): Promise<void> {
    const { set, context, signal, events } = this.#options;
    const revision = this.#revisionFor(ordinal);
    const pod = podFor(set, ordinal, templateOf(revision), revision.metadata?.name ?? "");
    const { namespace = "", name = "" } = pod.metadata ?? {};
    try {
      if (!(await this.#createClaims(ordinal, pod))) return;
      await context.client.create<Pod>({ resource: podsResource, namespace }, pod, { signal });
      const message = `create Pod ${name} in StatefulSet ${set.metadata?.name} successful`;
      events.record(set, { type: "Normal", reason: "SuccessfulCreate", message });
    } catch (error) {
      // The informer shows it soon.
      if (hasReason(error, "AlreadyExists") || isNamespaceTerminating(error)) return;
      const why = error instanceof Error ? error.message : String(error);
      const message = `create Pod ${name} in StatefulSet ${set.metadata?.name} failed error: ${why}`;
      events.record(set, { type: "Warning", reason: "FailedCreate", message });
      throw error;
    }
  }

  /** Pods below the partition, or not reached by a rollout yet, come back as they were. */
  #revisionFor(ordinal: number): ControllerRevision {
    const { set, revisions } = this.#options;
    const start = set.spec?.ordinals?.start ?? 0;
    const { type = "RollingUpdate", rollingUpdate } = set.spec?.updateStrategy ?? {};
    if (type !== "RollingUpdate") return revisions.update;
    const kept = rollingUpdate?.partition ?? (rollingUpdate === undefined ? (set.status?.currentReplicas ?? 0) : 0);
    return ordinal < start + kept ? revisions.current : revisions.update;
  }

  /** False when a claim is on its way out: the pod must not take it up again. */
  async #createClaims(ordinal: number, pod: Pod): Promise<boolean> {
    const { set, context, signal, events } = this.#options;
    for (const { claim } of claimsFor(set, ordinal, pod)) {
      const { namespace = "", name = "" } = claim.metadata ?? {};
      try {
        await context.client.create({ resource: persistentVolumeClaims, namespace }, claim, { signal });
        const message = `create Claim ${name} Pod ${pod.metadata?.name} in StatefulSet ${set.metadata?.name} success`;
        events.record(set, { type: "Normal", reason: "SuccessfulCreate", message });
      } catch (error) {
        if (!hasReason(error, "AlreadyExists")) throw error;
        const ref = { resource: persistentVolumeClaims, namespace, name };
        const current = await context.client.get<PersistentVolumeClaim>(ref, { signal });
        if (current.metadata?.deletionTimestamp !== undefined) return false;
      }
    }
    return true;
  }

  /** With whenScaled Delete a claim goes with its pod: the pod becomes its owner before it is deleted. */
  async #releaseClaims(pod: Pod): Promise<void> {
    const { set, context, signal } = this.#options;
    if (set.spec?.persistentVolumeClaimRetentionPolicy?.whenScaled !== "Delete") return;
    const owner = { apiVersion: "v1", kind: "Pod", name: pod.metadata?.name ?? "", uid: pod.metadata?.uid ?? "" };
    for (const { claim } of claimsFor(set, ordinalOf(pod, set)!, pod)) {
      const { namespace = "", name = "" } = claim.metadata ?? {};
      const ref = { resource: persistentVolumeClaims, namespace, name };
      try {
        await context.client.patch(
          ref,
          { type: "merge", body: { metadata: { ownerReferences: [owner] } } },
          { signal },
        );
      } catch (error) {
        if (!hasReason(error, "NotFound")) throw error;
      }
    }
  }

  async #keepIdentity(ordinal: number, pod: Pod): Promise<void> {
    const { context, signal } = this.#options;
    const { namespace = "", name = "", uid, labels = {} } = pod.metadata ?? {};
    const wanted = identityLabels(name, ordinal);
    if (Object.entries(wanted).every(([key, value]) => labels[key] === value)) return;
    const ref = { resource: podsResource, namespace, name };
    await context.client.patch(ref, { type: "merge", body: { metadata: { uid, labels: wanted } } }, { signal });
  }

  async #delete(pod: Pod): Promise<void> {
    const { set, context, signal, events } = this.#options;
    const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
    try {
      await context.client.delete({ resource: podsResource, namespace, name }, { preconditions: { uid }, signal });
      const message = `delete Pod ${name} in StatefulSet ${set.metadata?.name} successful`;
      events.record(set, { type: "Normal", reason: "SuccessfulDelete", message });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }

  /** Counts over the pods as they were seen. */
  status(): StatefulSetStatus {
    const { set, pods, revisions, nowMs } = this.#options;
    const replicas = set.spec?.replicas ?? 1;
    const count = (test: (pod: Pod) => boolean) => pods.filter(test).length;
    const ofRevision = (name: string | undefined) => count((pod) => !isPodTerminating(pod) && revisionOf(pod) === name);
    const [currentName = "", updateName = ""] = [revisions.current.metadata?.name, revisions.update.metadata?.name];
    const minReadySeconds = set.spec?.minReadySeconds ?? 0;
    const ready = count(isRunningAndReady);
    const updated = ofRevision(updateName);
    const isRolledOut = updated === replicas && ready === replicas && pods.length === replicas;
    const isRolling = (set.spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";
    const isComplete = isRolling && isRolledOut;
    return {
      observedGeneration: set.metadata?.generation ?? 0,
      replicas: pods.length,
      readyReplicas: ready,
      availableReplicas: count((pod) => isRunningAndReady(pod) && isPodAvailable(pod, minReadySeconds, nowMs)),
      currentReplicas: isComplete ? updated : Math.max(0, ofRevision(currentName) - this.#deletedForUpdate),
      updatedReplicas: updated,
      currentRevision: isComplete ? updateName : currentName,
      updateRevision: updateName,
      collisionCount: revisions.collisionCount,
      ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
    };
  }
}

function withoutZeros(status: StatefulSetStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
