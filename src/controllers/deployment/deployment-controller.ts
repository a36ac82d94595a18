/**
 * Turns a Deployment into ReplicaSets: one per pod template, old ones scaled down as the new one becomes ready. Same algorithm as kube-controller-manager's; maxSurge and
 * maxUnavailable round up and down as there.
 */
import type { Deployment, DeploymentStatus, ReplicaSet } from "#api/generated/types/apps-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { compileLabelSelector, matchesLabelSelector } from "#apimachinery/label-selector.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { findCondition } from "#controllers/common/conditions.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { claimObjects } from "#controllers/common/owners.ts";
import {
  byController,
  byOrphanNamespace,
  deployments,
  ownedInformer,
  podInformer,
  replicaSets,
} from "#controllers/common/resources.ts";
import { StatusLull } from "#controllers/common/status-lull.ts";
import { isComplete } from "./replicas.ts";
import { Rollout } from "./rollout.ts";
import { hasProgressDeadline, progressDeadlineMs } from "./status.ts";
import { isScaling, recreate, rollingUpdate, scaleSets } from "./strategies.ts";

/** The controller of Deployments. */
export function createDeploymentController(context: ControllerContext): NamedController {
  return new DeploymentController(context).controller;
}

class DeploymentController {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #deployments: Informer<Deployment>;
  readonly #sets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #lull: StatusLull;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#lull = new StatusLull(context.clock);
    this.#events = context.recorderFor("deployment-controller");
    this.controller = new KeyedController(context, {
      name: "deployment-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    this.#deployments = this.controller.watch(context.informers.informer<Deployment>({ resource: deployments }), {
      onAdd: (deployment) => queue.add(keyOf(deployment)),
      onUpdate: (_before, deployment) => queue.add(keyOf(deployment)),
    });
    this.#sets = this.controller.watch(ownedInformer<ReplicaSet>(context, replicaSets), {
      onAdd: (set) => this.#onSet(set),
      onUpdate: (before, set) => this.#onSetUpdated(before, set),
      onDelete: (set) => this.#enqueueOwner(set),
    });
    this.#pods = this.controller.watch(podInformer(context), { onDelete: (pod) => this.#onPodDeleted(pod) });
  }

  #onSet(set: ReplicaSet): void {
    if (controllerOf(set) === undefined) this.#enqueueAdopters(set);
    else this.#enqueueOwner(set);
  }

  #onSetUpdated(before: ReplicaSet, set: ReplicaSet): void {
    if (controllerOf(before)?.uid !== controllerOf(set)?.uid) this.#enqueueOwner(before);
    this.#onSet(set);
  }

  #enqueueOwner(set: ReplicaSet): void {
    const owner = controllerOf(set);
    if (owner?.kind !== "Deployment") return;
    const deployment = this.#deployments.lister.find(set.metadata?.namespace ?? "", owner.name);
    if (deployment?.metadata?.uid === owner.uid) this.controller.queue.add(keyOf(deployment));
  }

  #enqueueAdopters(set: ReplicaSet): void {
    for (const deployment of this.#deployments.lister.list(set.metadata?.namespace ?? "")) {
      const isMatch = matchesLabelSelector(deployment.spec?.selector, set.metadata?.labels);
      if (isMatch) this.controller.queue.add(keyOf(deployment));
    }
  }

  /** Recreate waits for the last old pod. */
  #onPodDeleted(pod: Pod): void {
    const owner = controllerOf(pod);
    if (owner?.kind !== "ReplicaSet") return;
    const set = this.#sets.lister.find(pod.metadata?.namespace ?? "", owner.name);
    if (set?.metadata?.uid === owner.uid) this.#enqueueOwner(set);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const deployment = this.#deployments.lister.find(namespace, name);
    if (deployment === undefined) return this.#lull.end(key);
    if (semanticEqual(deployment.spec?.selector, {})) return this.#refuseToSelectAll(deployment);
    const sets = await this.#claimSets(deployment, signal);
    const { client, clock } = this.#context;
    const lull = this.#lull;
    const rollout = new Rollout({ client, events: this.#events, clock, deployment, sets, lull, signal });
    const status = await this.#step(rollout);
    return rollout.againAfterMs ?? this.#nextLookMs(rollout.deployment, status);
  }

  async #step(rollout: Rollout): Promise<DeploymentStatus> {
    const { deployment } = rollout;
    if (deployment.metadata?.deletionTimestamp !== undefined) return await rollout.writeStatus("scaling");
    markPause(rollout);
    if (deployment.spec?.paused || isScaling(rollout)) {
      await rollout.syncNewSet();
      await scaleSets(rollout);
      if (deployment.spec?.paused) await rollout.cleanUp();
      return await rollout.writeStatus("scaling");
    }
    if (deployment.spec?.strategy?.type === "Recreate") await recreate(rollout, (set) => this.#podsOf(set));
    else await rollingUpdate(rollout);
    return await rollout.writeStatus("rollout");
  }

  #podsOf(set: ReplicaSet): readonly Pod[] {
    return this.#pods.lister.byIndex(byController, set.metadata?.uid ?? "");
  }

  #claimSets(deployment: Deployment, signal: AbortSignal): Promise<readonly ReplicaSet[]> {
    const { uid = "", namespace = "" } = deployment.metadata ?? {};
    const { lister } = this.#sets;
    return claimObjects({
      client: this.#context.client,
      resource: replicaSets,
      owner: deployment,
      ownerResource: deployments,
      selector: compileLabelSelector(deployment.spec?.selector),
      candidates: [...lister.byIndex(byController, uid), ...lister.byIndex(byOrphanNamespace, namespace)],
      signal,
    });
  }

  #refuseToSelectAll(deployment: Deployment): void {
    const message = "This deployment is selecting all pods. A non-empty selector is required.";
    this.#events.record(deployment, { type: "Warning", reason: "SelectingAll", message });
  }

  /** A rollout that stands still must be looked at again when its deadline has passed: no event will say so. */
  #nextLookMs(deployment: Deployment, status: DeploymentStatus): number | undefined {
    const progressing = findCondition(status.conditions, "Progressing");
    if (!hasProgressDeadline(deployment) || progressing === undefined || deployment.spec?.paused) return undefined;
    if (isComplete(deployment, status) || progressing.reason === "ProgressDeadlineExceeded") return undefined;
    const deadlineMs = Date.parse(progressing.lastUpdateTime ?? "") + progressDeadlineMs(deployment);
    return Math.max(1000, deadlineMs - this.#context.clock.now() + 1000);
  }
}

/** Pausing stops the clock of the progress deadline; resuming starts it anew. */
function markPause(rollout: Rollout): void {
  const { deployment } = rollout;
  const current = findCondition(rollout.conditions, "Progressing");
  if (!hasProgressDeadline(deployment) || current?.reason === "ProgressDeadlineExceeded") return;
  const isMarked = current?.reason === "DeploymentPaused";
  if (deployment.spec?.paused && !isMarked) {
    const message = "Deployment is paused";
    rollout.setCondition({ type: "Progressing", status: "Unknown", reason: "DeploymentPaused", message });
  } else if (!deployment.spec?.paused && isMarked) {
    const message = "Deployment is resumed";
    rollout.setCondition({ type: "Progressing", status: "Unknown", reason: "DeploymentResumed", message });
  }
}
