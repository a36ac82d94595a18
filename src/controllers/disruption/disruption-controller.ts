/**
 * Keeps the numbers of PodDisruptionBudgets true, by which evictions are allowed or refused.
 */
import type { Deployment, ReplicaSet, StatefulSet } from "#api/generated/types/apps-v1.ts";
import type { Pod, ReplicationController } from "#api/generated/types/core-v1.ts";
import type { Scale } from "#api/generated/types/autoscaling-v1.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "#api/generated/types/policy-v1.ts";
import type { KubeObject, OwnerReference } from "#apimachinery/meta.ts";
import { compileLabelSelector, matchesLabelSelector, matchesSelector } from "#apimachinery/label-selector.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import { discoverResources } from "#client/discovery.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { findCondition, withoutCondition } from "#controllers/common/conditions.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { isPodReady, isPodTerminating } from "#controllers/common/pods.ts";
import {
  deployments,
  ownedInformer,
  podDisruptionBudgets,
  podInformer,
  replicaSets,
  replicationControllers,
  statefulSets,
} from "#controllers/common/resources.ts";
import { countHealthy, dependsOnScale, expectations, pendingDisruptions } from "./budget-math.ts";

/** The controller of PodDisruptionBudgets. */
export function createDisruptionController(context: ControllerContext): NamedController {
  return new DisruptionController(context).controller;
}

/** An object with a number of replicas. */
type Scaled = KubeObject & { readonly spec?: { readonly replicas?: number } };

class DisruptionController {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #budgets: Informer<PodDisruptionBudget>;
  readonly #pods: Informer<Pod>;
  readonly #scaled: ReadonlyMap<string, Informer<Scaled>>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("controllermanager");
    this.controller = new KeyedController(context, {
      name: "disruption-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    this.#budgets = this.controller.watch(
      context.informers.informer<PodDisruptionBudget>({ resource: podDisruptionBudgets }),
      {
        onAdd: (budget) => queue.add(keyOf(budget)),
        onUpdate: (_before, budget) => queue.add(keyOf(budget)),
      },
    );
    this.#pods = this.controller.watch(podInformer(context), {
      onAdd: (pod) => this.#onPod(pod),
      onUpdate: (before, pod) => {
        if (!matters(before, pod)) return;
        this.#onPod(before);
        this.#onPod(pod);
      },
      onDelete: (pod) => this.#onPod(pod),
    });
    const rescale = (object: Scaled) => this.#onNamespace(object.metadata?.namespace ?? "");
    const watchScaled = <T extends Scaled>(informer: Informer<T>): Informer<Scaled> =>
      this.controller.watch(informer, {
        onUpdate: (before, object) => {
          if (before.spec?.replicas !== object.spec?.replicas) rescale(object);
        },
      }) as unknown as Informer<Scaled>;
    this.#scaled = new Map([
      ["ReplicaSet", watchScaled(ownedInformer<ReplicaSet>(context, replicaSets))],
      ["Deployment", watchScaled(context.informers.informer<Deployment>({ resource: deployments }))],
      ["StatefulSet", watchScaled(context.informers.informer<StatefulSet>({ resource: statefulSets }))],
      ["ReplicationController", watchScaled(ownedInformer<ReplicationController>(context, replicationControllers))],
    ]);
  }

  #onPod(pod: Pod): void {
    for (const budget of this.#budgets.lister.list(pod.metadata?.namespace ?? "")) {
      if (matchesLabelSelector(budget.spec?.selector, pod.metadata?.labels)) this.controller.queue.add(keyOf(budget));
    }
  }

  #onNamespace(namespace: string): void {
    for (const budget of this.#budgets.lister.list(namespace)) this.controller.queue.add(keyOf(budget));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const budget = this.#budgets.lister.find(namespace, name);
    if (budget === undefined) return;
    const selector = compileLabelSelector(budget.spec?.selector);
    const pods = this.#pods.lister.list(namespace).filter((pod) => matchesSelector(selector, pod.metadata?.labels));
    if (pods.length === 0) {
      this.#events.record(budget, { type: "Normal", reason: "NoPods", message: "No matching pods found" });
    }
    try {
      const scale = dependsOnScale(budget) ? await this.#scaleOf(budget, pods, signal) : 0;
      const nowMs = this.#context.clock.now();
      const { pending, recheckAfterMs } = pendingDisruptions(budget, pods, nowMs);
      const { expected, desired } = expectations(budget, pods.length, scale);
      const healthy = countHealthy(pods, pending);
      await this.#write(budget, { expected, desired, healthy, pending }, signal);
      return recheckAfterMs;
    } catch (error) {
      if (hasReason(error, "Conflict")) throw error;
      const why = error instanceof Error ? error.message : String(error);
      const message = `Failed to calculate the number of expected pods: ${why}`;
      this.#events.record(budget, { type: "Warning", reason: "CalculateExpectedPodCountFailed", message });
      await this.#failSafe(budget, why, signal);
      throw error;
    }
  }

  /** The sum over the controllers of the pods; pods without one count nothing, and people are told. */
  async #scaleOf(budget: PodDisruptionBudget, pods: readonly Pod[], signal: AbortSignal): Promise<number> {
    const scales = new Map<string, number>();
    let hasUnmanaged = false;
    for (const pod of pods) {
      const owner = controllerOf(pod);
      if (owner === undefined) hasUnmanaged = true;
      else if (!scales.has(owner.uid)) {
        const { uid, replicas } = await this.#findScale(owner, pod, signal);
        scales.set(owner.uid, 0);
        scales.set(uid, replicas);
      }
    }
    if (hasUnmanaged) {
      const message = `Pods selected by this PodDisruptionBudget (selector: ${JSON.stringify(budget.spec?.selector)}) were found to be unmanaged: only an integer .spec.minAvailable counts them`;
      this.#events.record(budget, { type: "Warning", reason: "UnmanagedPods", message });
    }
    return [...scales.values()].reduce((sum, replicas) => sum + replicas, 0);
  }

  async #findScale(
    owner: OwnerReference,
    pod: Pod,
    signal: AbortSignal,
  ): Promise<{ readonly uid: string; readonly replicas: number }> {
    const namespace = pod.metadata?.namespace ?? "";
    const known = this.#scaled.get(owner.kind)?.lister.find(namespace, owner.name);
    if (known === undefined || known.metadata?.uid !== owner.uid) return await this.#askScale(owner, pod, signal);
    // The sets of a Deployment share its size.
    const parent = owner.kind === "ReplicaSet" ? controllerOf(known) : undefined;
    const deployment =
      parent?.kind === "Deployment" ? this.#scaled.get("Deployment")?.lister.find(namespace, parent.name) : undefined;
    const sized = deployment?.metadata?.uid === parent?.uid && deployment !== undefined ? deployment : known;
    return { uid: sized.metadata?.uid ?? "", replicas: sized.spec?.replicas ?? 1 };
  }

  /** Of other kinds the scale subresource tells. */
  async #askScale(
    owner: OwnerReference,
    pod: Pod,
    signal: AbortSignal,
  ): Promise<{ readonly uid: string; readonly replicas: number }> {
    const { client } = this.#context;
    const group = owner.apiVersion.includes("/") ? owner.apiVersion.split("/")[0] : "";
    const { resources } = await discoverResources(client, signal);
    const resource = resources.find((one) => one.kind === owner.kind && one.group === group);
    if (resource === undefined) throw new Error(`found no controllers for pod ${JSON.stringify(pod.metadata?.name)}`);
    const ref = { resource, namespace: pod.metadata?.namespace ?? "", name: owner.name, subresource: "scale" };
    const scale = await client.get<Scale>(ref, { signal });
    return { uid: owner.uid, replicas: scale.spec?.replicas ?? 0 };
  }

  async #write(
    budget: PodDisruptionBudget,
    counts: {
      readonly expected: number;
      readonly desired: number;
      readonly healthy: number;
      readonly pending: Readonly<Record<string, string>>;
    },
    signal: AbortSignal,
  ): Promise<void> {
    const { expected, desired, healthy, pending } = counts;
    const allowed = expected <= 0 ? 0 : Math.max(0, healthy - desired);
    const words =
      allowed > 0 ? { status: "True", reason: "SufficientPods" } : { status: "False", reason: "InsufficientPods" };
    await this.#update(
      budget,
      {
        currentHealthy: healthy,
        desiredHealthy: desired,
        expectedPods: expected,
        disruptionsAllowed: allowed,
        ...(Object.keys(pending).length === 0 ? {} : { disruptedPods: pending }),
      },
      { ...words, message: "" },
      signal,
    );
  }

  /** When nothing can be known nothing may be evicted. */
  async #failSafe(budget: PodDisruptionBudget, why: string, signal: AbortSignal): Promise<void> {
    const { conditions: _, ...status } = budget.status ?? { currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 };
    const words = { status: "False", reason: "SyncFailed", message: why };
    await this.#update(budget, { ...status, disruptionsAllowed: 0 } as PodDisruptionBudgetStatus, words, signal);
  }

  async #update(
    budget: PodDisruptionBudget,
    status: PodDisruptionBudgetStatus,
    words: { readonly status: string; readonly reason: string; readonly message: string },
    signal: AbortSignal,
  ): Promise<void> {
    const observedGeneration = budget.metadata?.generation ?? 0;
    const current = findCondition(budget.status?.conditions, "DisruptionAllowed");
    const now = formatTime(this.#context.clock.now());
    const lastTransitionTime = current?.status === words.status ? current.lastTransitionTime : now;
    const condition = { type: "DisruptionAllowed", ...words, observedGeneration, lastTransitionTime };
    const others = withoutCondition(budget.status?.conditions, "DisruptionAllowed");
    const next = { ...status, observedGeneration, conditions: [...others, condition] };
    if (semanticEqual(next, budget.status)) return;
    const { namespace = "", name = "" } = budget.metadata ?? {};
    const ref = { resource: podDisruptionBudgets, namespace, name, subresource: "status" };
    await this.#context.client.update(ref, { ...budget, status: next }, { signal });
  }
}

function matters(before: Pod, after: Pod): boolean {
  return (
    isPodReady(before) !== isPodReady(after) ||
    isPodTerminating(before) !== isPodTerminating(after) ||
    !semanticEqual(before.metadata?.labels, after.metadata?.labels) ||
    controllerOf(before)?.uid !== controllerOf(after)?.uid
  );
}
