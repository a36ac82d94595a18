/**
 * Notices nodes whose kubelet has gone silent, says so in their conditions, taints nodes as their conditions ask, and calls the pods on them not ready. Figures and messages as
 * kube-controller-manager's; but nothing is polled: each node has a deadline that its heartbeats push on.
 */
import type { Node, NodeCondition, Pod } from "#api/generated/types/core-v1.ts";
import type { Lease } from "#api/generated/types/coordination-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { isPodReady, podCondition } from "#controllers/common/pods.ts";
import { byNode, leases, nodeInformer, nodes, podInformer, pods } from "#controllers/common/resources.ts";
import { conditionStatus, wantedTaints } from "./node-taints.ts";

const leaseNamespace = "kube-node-lease";
/** A node is given up after this long without a heartbeat. */
const graceMs = 50_000;
/** A new node has longer to send its first one. */
const startupGraceMs = 60_000;
/** A deadline noticed this much too late means that we slept, not the node: laptops do. */
const sleptMs = 10_000;
const watchedConditions = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] as const;

type Health = { lastSeenMs: number; heartbeat: string };

/** The controller of nodes' health. Keys are names of nodes. */
export function createNodeLifecycleController(context: ControllerContext): NamedController {
  return new NodeLifecycle(context).controller;
}

class NodeLifecycle {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #nodes: Informer<Node>;
  readonly #pods: Informer<Pod>;
  readonly #health = new Map<string, Health>();
  readonly #dueMs = new Map<string, number>();
  /** Names of the nodes that are well. */
  readonly #ready = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("node-controller");
    this.controller = new KeyedController(context, {
      name: "node-lifecycle-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    this.#nodes = this.controller.watch(nodeInformer(context), {
      onAdd: (node) => this.#onNode(undefined, node),
      onUpdate: (before, node) => this.#onNode(before, node),
      onDelete: (node) => this.#onNodeGone(node.metadata?.name ?? ""),
    });
    this.#pods = this.controller.watch(podInformer(context));
    const selection = { resource: leases, namespace: leaseNamespace };
    this.controller.watch(context.informers.informer<Lease>(selection), {
      onAdd: (lease) => this.#onHeartbeat(lease.metadata?.name ?? "", lease.spec?.renewTime ?? ""),
      onUpdate: (_before, lease) => this.#onHeartbeat(lease.metadata?.name ?? "", lease.spec?.renewTime ?? ""),
    });
  }

  #onNode(before: Node | undefined, node: Node): void {
    const name = node.metadata?.name ?? "";
    const reported = node.status?.conditions?.find(({ type }) => type === "Ready")?.lastHeartbeatTime ?? "";
    // What we wrote ourselves is no sign of life.
    if (conditionStatus(node, "Ready") !== "Unknown") this.#onHeartbeat(name, reported);
    const isSame = before !== undefined && semanticEqual(before.spec, node.spec) && sameConditions(before, node);
    if (isSame) return;
    this.controller.queue.add(name);
    this.#setReady(name, conditionStatus(node, "Ready") === "True");
  }

  /** Whether evicting makes sense at all depends on whether any node is well. */
  #setReady(name: string, isReady: boolean): void {
    const before = this.#ready.size;
    if (isReady) this.#ready.add(name);
    else this.#ready.delete(name);
    if (before > 0 === this.#ready.size > 0) return;
    for (const node of this.#nodes.lister.list()) this.controller.queue.add(node.metadata?.name ?? "");
  }

  #onNodeGone(name: string): void {
    this.#health.delete(name);
    this.#dueMs.delete(name);
    this.#setReady(name, false);
  }

  #onHeartbeat(name: string, heartbeat: string): void {
    const health = this.#health.get(name);
    if (heartbeat === "" || health?.heartbeat === heartbeat) return;
    this.#health.set(name, { lastSeenMs: this.#context.clock.now(), heartbeat });
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<number | void> {
    const node = this.#nodes.lister.find("", name);
    if (node === undefined) return;
    this.#forgiveOwnSleep(name);
    const deadlineMs = this.#deadlineOf(node);
    const nowMs = this.#context.clock.now();
    let current = node;
    if (deadlineMs <= nowMs) current = await this.#markUnknown(node, signal);
    await this.#syncTaints(current, signal);
    if (conditionStatus(current, "Ready") !== "True") await this.#markPodsNotReady(current, signal);
    if (deadlineMs <= nowMs) return undefined;
    this.#dueMs.set(name, deadlineMs);
    return deadlineMs - nowMs;
  }

  #deadlineOf(node: Node): number {
    const health = this.#health.get(node.metadata?.name ?? "");
    if (health !== undefined) return health.lastSeenMs + graceMs;
    const createdMs = Date.parse(node.metadata?.creationTimestamp ?? "") || this.#context.clock.now();
    return createdMs + startupGraceMs;
  }

  /** When the machine sleeps, all heartbeats are as late as we are. Every node gets its time again. */
  #forgiveOwnSleep(name: string): void {
    const dueMs = this.#dueMs.get(name);
    this.#dueMs.delete(name);
    const nowMs = this.#context.clock.now();
    if (dueMs === undefined || nowMs - dueMs < sleptMs) return;
    for (const health of this.#health.values()) health.lastSeenMs = nowMs;
  }

  async #markUnknown(node: Node, signal: AbortSignal): Promise<Node> {
    const now = formatTime(this.#context.clock.now());
    const current = node.status?.conditions ?? [];
    const stale = watchedConditions.map((type): NodeCondition => unknownCondition(node, type, now));
    const changed = stale.filter((next) => current.find(({ type }) => type === next.type)?.status !== "Unknown");
    if (changed.length === 0) return node;
    const untouched = current.filter(({ type }) => !changed.some((next) => next.type === type));
    const name = node.metadata?.name ?? "";
    const status = { ...node.status, conditions: [...untouched, ...changed] };
    const ref = { resource: nodes, name, subresource: "status" };
    const updated = await this.#context.client.update<Node>(ref, { ...node, status }, { signal });
    this.#context.logger.warn("Node stopped posting its status", { node: name });
    const message = `Node ${name} status is now: NodeNotReady`;
    this.#events.record(node, { type: "Normal", reason: "NodeNotReady", message });
    return updated;
  }

  async #syncTaints(node: Node, signal: AbortSignal): Promise<void> {
    const current = node.spec?.taints ?? [];
    const now = formatTime(this.#context.clock.now());
    // When not a single node is well the fault is likely ours, and there is nowhere to move pods to.
    const taints = wantedTaints(node, { mayEvict: this.#ready.size > 0, now });
    if (semanticEqual(taints, current)) return;
    const { name = "", resourceVersion } = node.metadata ?? {};
    const body = { metadata: { resourceVersion }, spec: { taints } };
    await this.#context.client.patch({ resource: nodes, name }, { type: "merge", body }, { signal });
  }

  async #markPodsNotReady(node: Node, signal: AbortSignal): Promise<void> {
    for (const pod of this.#pods.lister.byIndex(byNode, node.metadata?.name ?? "")) {
      if (!isPodReady(pod)) continue;
      const { namespace = "", name = "", uid } = pod.metadata ?? {};
      const now = formatTime(this.#context.clock.now());
      const condition = { ...podCondition(pod, "Ready"), type: "Ready", status: "False", lastTransitionTime: now };
      const body = { metadata: { uid }, status: { conditions: [condition] } };
      try {
        const ref = { resource: pods, namespace, name, subresource: "status" };
        await this.#context.client.patch(ref, { type: "strategic", body }, { signal });
        this.#events.record(pod, { type: "Warning", reason: "NodeNotReady", message: "Node is not ready" });
      } catch (error) {
        if (!hasReason(error, "NotFound")) throw error;
      }
    }
  }
}

function unknownCondition(node: Node, type: string, now: string): NodeCondition {
  const current = node.status?.conditions?.find((condition) => condition.type === type);
  const words =
    current === undefined
      ? { reason: "NodeStatusNeverUpdated", message: "Kubelet never posted node status." }
      : { reason: "NodeStatusUnknown", message: "Kubelet stopped posting node status." };
  const lastHeartbeatTime = current?.lastHeartbeatTime ?? node.metadata?.creationTimestamp ?? now;
  return { type, status: "Unknown", ...words, lastHeartbeatTime, lastTransitionTime: now };
}

function sameConditions(a: Node, b: Node): boolean {
  const facts = (node: Node) => (node.status?.conditions ?? []).map(({ type, status }) => `${type}=${status}`).join();
  return facts(a) === facts(b);
}
