/**
 * Runs DaemonSets: one pod on every node that the template allows, replaced node by node when the template changes. Same algorithm as kube-controller-manager's.
 */
import type { ControllerRevision, DaemonSet, DaemonSetStatus } from "#api/generated/types/apps-v1.ts";
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { compileLabelSelector, matchesLabelSelector } from "#apimachinery/label-selector.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { Expectations } from "#controllers/common/expectations.ts";
import { ensureRevision, pruneRevisions } from "#controllers/common/history.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { claimObjects } from "#controllers/common/owners.ts";
import {
  PodControl,
  isNamespaceTerminating,
  isPodReady,
  isPodTerminating,
  nextAvailabilityMs,
  slowStart,
} from "#controllers/common/pods.ts";
import {
  byController,
  byOrphanNamespace,
  controllerRevisions,
  daemonSets,
  nodeInformer,
  ownedInformer,
  podInformer,
  pods as podsResource,
} from "#controllers/common/resources.ts";
import {
  daemonPodFor,
  isAvailable,
  judgeNode,
  oldestFirst,
  revisionHashLabel,
  splitByRevision,
  targetNodeOf,
  updateLimits,
} from "./daemon-pods.ts";

/** Pods created or deleted in one look, at most. */
const burst = 250;
/** A pod that fails on its node is replaced after 1 s, 2 s, … 15 min. */
const firstBackoffMs = 1000;
const maxBackoffMs = 15 * 60_000;

/** The controller of DaemonSets. */
export function createDaemonSetController(context: ControllerContext): NamedController {
  return new DaemonSetController(context).controller;
}

/** What to do: nodes that need a pod, and pods to delete. */
type Plan = { readonly create: Set<string>; readonly remove: Set<Pod>; waitMs: number | undefined };

/** The set's pods by node. */
type Placed = ReadonlyMap<string, readonly Pod[]>;

class DaemonSetController {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #podControl: PodControl;
  readonly #expectations: Expectations;
  readonly #sets: Informer<DaemonSet>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #revisions: Informer<ControllerRevision>;
  /** Failures by set and node. */
  readonly #failures = new Map<string, { readonly count: number; readonly atMs: number }>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("daemonset-controller");
    this.#podControl = new PodControl(context.client, this.#events);
    this.#expectations = new Expectations(context.clock);
    this.controller = new KeyedController(context, {
      name: "daemonset-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    this.#sets = this.controller.watch(context.informers.informer<DaemonSet>({ resource: daemonSets }), {
      onAdd: (set) => queue.add(keyOf(set)),
      onUpdate: (_before, set) => queue.add(keyOf(set)),
      onDelete: (set) => this.#expectations.delete(keyOf(set)),
    });
    this.#pods = this.controller.watch(podInformer(context), {
      onAdd: (pod) => this.#onPod(pod, "added"),
      onUpdate: (before, pod) => {
        if (controllerOf(before)?.uid !== controllerOf(pod)?.uid) this.#onPod(before, "changed");
        this.#onPod(pod, isPodTerminating(pod) ? "leaving" : "changed");
      },
      onDelete: (pod) => this.#onPod(pod, "leaving"),
    });
    this.#nodes = this.controller.watch(nodeInformer(context), {
      onAdd: (node) => this.#onNode(undefined, node),
      onUpdate: (before, node) => this.#onNode(before, node),
      onDelete: (node) => this.#onNode(node, {}),
    });
    this.#revisions = this.controller.watch(ownedInformer<ControllerRevision>(context, controllerRevisions));
  }

  #onPod(pod: Pod, what: "added" | "changed" | "leaving"): void {
    const owner = controllerOf(pod);
    const namespace = pod.metadata?.namespace ?? "";
    if (owner === undefined) {
      for (const set of this.#sets.lister.list(namespace)) {
        if (matchesLabelSelector(set.spec?.selector, pod.metadata?.labels)) this.controller.queue.add(keyOf(set));
      }
      return;
    }
    const set = owner.kind === "DaemonSet" ? this.#sets.lister.find(namespace, owner.name) : undefined;
    if (set?.metadata?.uid !== owner.uid) return;
    if (what === "added") this.#expectations.creationObserved(keyOf(set));
    if (what === "leaving") this.#expectations.deletionObserved(keyOf(set), pod.metadata?.uid ?? "");
    this.controller.queue.add(keyOf(set));
  }

  /** Only what daemon pods depend on: heartbeats change nothing for them. */
  #onNode(before: Node | undefined, node: Node): void {
    const isSame =
      before !== undefined &&
      semanticEqual(before.spec, node.spec) &&
      semanticEqual(before.metadata?.labels, node.metadata?.labels);
    if (isSame && node.metadata !== undefined) return;
    for (const set of this.#sets.lister.list()) {
      const was = before === undefined ? undefined : judgeNode(set, before);
      const is = node.metadata === undefined ? undefined : judgeNode(set, node);
      if (!semanticEqual(was, is)) this.controller.queue.add(keyOf(set));
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const set = this.#sets.lister.find(namespace, name);
    if (set === undefined) return this.#expectations.delete(key);
    if (semanticEqual(set.spec?.selector, {})) return this.#refuseToSelectAll(set);
    if (set.metadata?.deletionTimestamp !== undefined) return;
    const existing = this.#revisions.lister.byIndex(byController, set.metadata?.uid ?? "");
    const { hash, revisionName, collisionCount } = await this.#syncRevision(set, existing, signal);
    const pods = await this.#claim(set, signal);
    const placed = byTargetNode(pods);
    const plan: Plan = { create: new Set(), remove: new Set(), waitMs: undefined };
    let failure: unknown;
    if (this.#expectations.isSatisfied(key)) {
      this.#planNodes(set, placed, hash, plan);
      const isRolling = (set.spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";
      if (isRolling && plan.create.size + plan.remove.size === 0) this.#planRollout(set, placed, hash, plan);
      failure = await this.#act(set, plan, hash, signal);
    }
    await this.#writeStatus(set, placed, { hash, collisionCount }, signal);
    if (failure !== undefined) throw failure;
    const inUse = new Set(existing.filter((one) => isInUse(one, pods)).map((one) => one.metadata?.name ?? "")).add(
      revisionName,
    );
    await pruneRevisions(this.#context.client, existing, {
      limit: set.spec?.revisionHistoryLimit ?? 10,
      inUse,
      signal,
    });
    const availableInMs = nextAvailabilityMs(pods, set.spec?.minReadySeconds ?? 0, this.#context.clock.now());
    const waits = [plan.waitMs, availableInMs].filter((ms) => ms !== undefined);
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  #refuseToSelectAll(set: DaemonSet): void {
    const message = "This daemon set is selecting all pods. A non-empty selector is required.";
    this.#events.record(set, { type: "Warning", reason: "SelectingAll", message });
  }

  async #syncRevision(set: DaemonSet, existing: readonly ControllerRevision[], signal: AbortSignal) {
    const { client } = this.#context;
    const { revision, collisionCount } = await ensureRevision({
      client,
      owner: set,
      template: set.spec?.template,
      existing,
      hashLabel: revisionHashLabel,
      collisionCount: set.status?.collisionCount ?? 0,
      signal,
    });
    const hash = revision.metadata?.labels?.[revisionHashLabel] ?? "";
    return { hash, collisionCount, revisionName: revision.metadata?.name ?? "" };
  }

  #claim(set: DaemonSet, signal: AbortSignal): Promise<readonly Pod[]> {
    const { uid = "", namespace = "" } = set.metadata ?? {};
    const { lister } = this.#pods;
    return claimObjects({
      client: this.#context.client,
      resource: podsResource,
      owner: set,
      ownerResource: daemonSets,
      selector: compileLabelSelector(set.spec?.selector),
      candidates: [...lister.byIndex(byController, uid), ...lister.byIndex(byOrphanNamespace, namespace)],
      signal,
    });
  }

  /** One living pod on each node that should have one, none elsewhere. */
  #planNodes(set: DaemonSet, placed: Placed, hash: string, plan: Plan): void {
    for (const node of this.#nodes.lister.list()) {
      const name = node.metadata?.name ?? "";
      const here = placed.get(name) ?? [];
      const { shouldRun, mayStay } = judgeNode(set, node);
      if (!mayStay) for (const pod of here) this.#remove(pod, plan);
      else if (shouldRun && here.length === 0) plan.create.add(name);
      else this.#planNode(set, name, here, hash, plan);
    }
    // Pods meant for nodes that are gone will never run.
    for (const [name, here] of placed) {
      if (this.#nodes.lister.find("", name) !== undefined) continue;
      for (const pod of here) if (!pod.spec?.nodeName) this.#remove(pod, plan);
    }
  }

  #planNode(set: DaemonSet, node: string, here: readonly Pod[], hash: string, plan: Plan): void {
    const running: Pod[] = [];
    for (const pod of here.filter((one) => !isPodTerminating(one))) {
      if (pod.status?.phase === "Failed") this.#replaceFailed(set, node, pod, plan);
      else if (pod.status?.phase === "Succeeded") this.#replaceSucceeded(set, node, pod, plan);
      else running.push(pod);
    }
    const { maxSurge } = updateLimits(set, 1);
    if (maxSurge === 0) {
      for (const pod of oldestFirst(running).slice(1)) this.#remove(pod, plan);
      return;
    }
    if (running.length === 0) {
      if (here.some(isPodTerminating)) plan.create.add(node);
      return;
    }
    this.#planSurgedNode(set, running, hash, plan);
  }

  /** During a surge a node has an old pod and a new one, until the new one is available. */
  #planSurgedNode(set: DaemonSet, running: readonly Pod[], hash: string, plan: Plan): void {
    const { current, old } = splitByRevision(running, hash);
    for (const pod of running) if (pod !== current && pod !== old) this.#remove(pod, plan);
    if (current === undefined || old === undefined) return;
    if (!isPodReady(old) || isAvailable(current, set, this.#context.clock.now())) this.#remove(old, plan);
  }

  #remove(pod: Pod, plan: Plan): void {
    if (!isPodTerminating(pod)) plan.remove.add(pod);
  }

  /** A kubelet that refuses a pod would refuse the next one too: each replacement waits longer. */
  #replaceFailed(set: DaemonSet, node: string, pod: Pod, plan: Plan): void {
    const key = `${set.metadata?.uid}/${node}`;
    const nowMs = this.#context.clock.now();
    const before = this.#failures.get(key);
    const waitMs =
      before === undefined ? 0 : Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(before.count - 1, 20));
    const leftMs = before === undefined ? 0 : before.atMs + waitMs - nowMs;
    if (leftMs > 0) {
      plan.waitMs = Math.min(plan.waitMs ?? leftMs, leftMs);
      return;
    }
    const isLongAgo = before !== undefined && nowMs - before.atMs > 2 * maxBackoffMs;
    this.#failures.set(key, { count: isLongAgo ? 1 : (before?.count ?? 0) + 1, atMs: nowMs });
    const message = `Found failed daemon pod ${keyOf(pod)} on node ${node}, will try to kill it`;
    this.#events.record(set, { type: "Warning", reason: "FailedDaemonPod", message });
    plan.remove.add(pod);
  }

  #replaceSucceeded(set: DaemonSet, node: string, pod: Pod, plan: Plan): void {
    const message = `Found succeeded daemon pod ${keyOf(pod)} on node ${node}, will try to delete it`;
    this.#events.record(set, { type: "Normal", reason: "SucceededDaemonPod", message });
    plan.remove.add(pod);
  }

  /** Deletes old pods as far as maxUnavailable allows, or adds new ones beside them as far as maxSurge does. */
  #planRollout(set: DaemonSet, placed: Placed, hash: string, plan: Plan): void {
    const nowMs = this.#context.clock.now();
    const wanted = this.#nodes.lister.list().filter((node) => judgeNode(set, node).shouldRun);
    const { maxUnavailable, maxSurge } = updateLimits(set, wanted.length);
    const candidates: { readonly node: string; readonly old: Pod }[] = [];
    let [unavailable, surging] = [0, 0];
    for (const node of wanted) {
      const name = node.metadata?.name ?? "";
      const { current, old } = splitByRevision(placed.get(name) ?? [], hash);
      if (maxSurge > 0) {
        if (current !== undefined && old !== undefined) surging++;
        else if (old !== undefined && !isAvailable(old, set, nowMs)) plan.create.add(name);
        else if (old !== undefined) candidates.push({ node: name, old });
      } else if (old === undefined || current !== undefined) {
        if (!isAvailable(current, set, nowMs)) unavailable++;
      } else if (!isAvailable(old, set, nowMs)) {
        plan.remove.add(old);
        unavailable++;
      } else candidates.push({ node: name, old });
    }
    if (maxSurge > 0)
      for (const { node } of candidates.slice(0, Math.max(0, maxSurge - surging))) plan.create.add(node);
    else for (const { old } of candidates.slice(0, Math.max(0, maxUnavailable - unavailable))) plan.remove.add(old);
  }

  /** Gives the first error. */
  async #act(set: DaemonSet, plan: Plan, hash: string, signal: AbortSignal): Promise<unknown> {
    const key = keyOf(set);
    const create = [...plan.create].slice(0, burst);
    const remove = [...plan.remove].slice(0, burst);
    if (create.length + remove.length === 0) return undefined;
    this.#expectations.delete(key);
    this.#expectations.raise(key, {
      creations: create.length,
      deletions: remove.map((pod) => pod.metadata?.uid ?? ""),
    });
    const { successes, error } = await slowStart(create.length, async (nth) => {
      try {
        await this.#podControl.create(daemonPodFor(set, create[nth]!, hash), set, signal);
      } catch (failure) {
        if (!isNamespaceTerminating(failure)) throw failure;
      }
    });
    for (let skipped = successes; skipped < create.length; skipped++) this.#expectations.creationObserved(key);
    let firstError = error;
    const deletion = async (pod: Pod) => {
      try {
        await this.#podControl.delete(pod, set, signal);
      } catch (failure) {
        this.#expectations.deletionObserved(key, pod.metadata?.uid ?? "");
        if (!hasReason(failure, "NotFound")) firstError ??= failure;
      }
    };
    await Promise.all(remove.map(deletion));
    return firstError;
  }

  async #writeStatus(
    set: DaemonSet,
    placed: Placed,
    revision: { readonly hash: string; readonly collisionCount: number },
    signal: AbortSignal,
  ): Promise<void> {
    const status = this.#statusOf(set, placed, revision);
    if (semanticEqual(withoutZeros(set.status), withoutZeros(status))) return;
    const { namespace = "", name = "" } = set.metadata ?? {};
    const ref = { resource: daemonSets, namespace, name, subresource: "status" };
    await this.#context.client.update(ref, { ...set, status }, { signal });
  }

  #statusOf(
    set: DaemonSet,
    placed: Placed,
    revision: { readonly hash: string; readonly collisionCount: number },
  ): DaemonSetStatus {
    const nowMs = this.#context.clock.now();
    const counts = { desired: 0, current: 0, misplaced: 0, ready: 0, updated: 0, available: 0 };
    for (const node of this.#nodes.lister.list()) {
      const [pod] = oldestFirst(placed.get(node.metadata?.name ?? "") ?? []);
      if (!judgeNode(set, node).shouldRun) {
        if (pod !== undefined) counts.misplaced++;
        continue;
      }
      counts.desired++;
      if (pod === undefined) continue;
      counts.current++;
      if (isPodReady(pod)) counts.ready++;
      if (isAvailable(pod, set, nowMs)) counts.available++;
      if (pod.metadata?.labels?.[revisionHashLabel] === revision.hash) counts.updated++;
    }
    return {
      desiredNumberScheduled: counts.desired,
      currentNumberScheduled: counts.current,
      numberMisscheduled: counts.misplaced,
      numberReady: counts.ready,
      updatedNumberScheduled: counts.updated,
      numberAvailable: counts.available,
      numberUnavailable: counts.desired - counts.available,
      observedGeneration: set.metadata?.generation ?? 0,
      ...(revision.collisionCount === 0 ? {} : { collisionCount: revision.collisionCount }),
      ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
    };
  }
}

function byTargetNode(pods: readonly Pod[]): Placed {
  const placed = new Map<string, Pod[]>();
  for (const pod of pods) {
    const node = targetNodeOf(pod);
    if (node !== undefined) placed.set(node, [...(placed.get(node) ?? []), pod]);
  }
  return placed;
}

function isInUse(revision: ControllerRevision, pods: readonly Pod[]): boolean {
  const hash = revision.metadata?.labels?.[revisionHashLabel];
  return pods.some((pod) => pod.metadata?.labels?.[revisionHashLabel] === hash);
}

function withoutZeros(status: DaemonSetStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
