/**
 * Removes pods that nobody else will: of nodes that are gone, of nodes that were declared out of service, deleted before they got a node, and finished ones beyond a limit. As
 * kube-controller-manager's pod garbage collector, but woken by what happens instead of every 20 seconds.
 */
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { isPodFinished, isPodTerminating } from "#controllers/common/pods.ts";
import { byNode, nodeInformer, nodes, podInformer, pods } from "#controllers/common/resources.ts";

/** A node that vanished may come back under its name: so long its pods wait. */
const quarantineMs = 40_000;
/** Finished pods that are kept. */
const maxFinishedPods = 12_500;
const finishedKey = "*finished";
/** After many pods ended at once, one look is enough. */
const finishedLookMs = 5000;

/** The controller. Keys are pods, and one key for the number of finished ones. */
export function createPodGarbageCollector(
  context: ControllerContext,
  options: { readonly maxFinished?: number } = {},
): NamedController {
  return new PodGarbageCollector(context, options.maxFinished ?? maxFinishedPods).controller;
}

class PodGarbageCollector {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #maxFinished: number;
  readonly #nodes: Informer<Node>;
  readonly #pods: Informer<Pod>;
  readonly #missingSinceMs = new Map<string, number>();
  #finishedCount = 0;

  constructor(context: ControllerContext, maxFinished: number) {
    this.#context = context;
    this.#maxFinished = maxFinished;
    this.controller = new KeyedController(context, {
      name: "pod-garbage-collector-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    this.#nodes = this.controller.watch(nodeInformer(context), {
      onAdd: (node) => this.#missingSinceMs.delete(node.metadata?.name ?? ""),
      onUpdate: (before, node) => {
        if (isOutOfService(node) !== isOutOfService(before)) this.#enqueuePodsOf(node.metadata?.name ?? "");
      },
      onDelete: (node) => this.#enqueuePodsOf(node.metadata?.name ?? ""),
    });
    this.#pods = this.controller.watch(podInformer(context), {
      onAdd: (pod) => this.#onPod(undefined, pod),
      onUpdate: (before, pod) => this.#onPod(before, pod),
      onDelete: (pod) => (this.#finishedCount -= isPodFinished(pod) ? 1 : 0),
    });
  }

  #onPod(before: Pod | undefined, pod: Pod): void {
    const wasFinished = before !== undefined && isPodFinished(before);
    this.#finishedCount += Number(isPodFinished(pod)) - Number(wasFinished);
    if (this.#finishedCount > this.#maxFinished) this.controller.queue.addAfter(finishedKey, finishedLookMs);
    const isInteresting =
      before === undefined ||
      before.spec?.nodeName !== pod.spec?.nodeName ||
      isPodTerminating(before) !== isPodTerminating(pod);
    if (isInteresting) this.controller.queue.add(keyOf(pod));
  }

  #enqueuePodsOf(node: string): void {
    for (const pod of this.#pods.lister.byIndex(byNode, node)) this.controller.queue.add(keyOf(pod));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    if (key === finishedKey) return await this.#deleteFinished(signal);
    const { namespace, name } = splitKey(key);
    const pod = this.#pods.lister.find(namespace, name);
    if (pod === undefined) return;
    const nodeName = pod.spec?.nodeName;
    if (!nodeName) {
      if (isPodTerminating(pod)) await this.#remove(pod, undefined, signal);
      return;
    }
    const node = this.#nodes.lister.find("", nodeName);
    if (node === undefined) return await this.#onMissingNode(pod, nodeName, signal);
    if (isPodTerminating(pod) && isOutOfService(node)) {
      await this.#remove(pod, "PodGC: node is out of service", signal);
    }
  }

  async #onMissingNode(pod: Pod, nodeName: string, signal: AbortSignal): Promise<number | void> {
    const nowMs = this.#context.clock.now();
    const sinceMs = this.#missingSinceMs.get(nodeName) ?? nowMs;
    this.#missingSinceMs.set(nodeName, sinceMs);
    const leftMs = sinceMs + quarantineMs - nowMs;
    if (leftMs > 0) return leftMs;
    if (!(await this.#isGone(nodeName, signal))) return;
    await this.#remove(pod, "PodGC: node no longer exists", signal);
  }

  /** The local copy may be old, and pods are not brought back. */
  async #isGone(name: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#context.client.get({ resource: nodes, name }, { signal });
      return false;
    } catch (error) {
      if (hasReason(error, "NotFound")) return true;
      throw error;
    }
  }

  /** Deletes without grace: there is no kubelet that would end the pod. With `why` its end is written down first, for its controller. */
  async #remove(pod: Pod, why: string | undefined, signal: AbortSignal): Promise<void> {
    const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
    const ref = { resource: pods, namespace, name };
    const { client, logger } = this.#context;
    try {
      if (why !== undefined && !isPodFinished(pod)) {
        const body = { metadata: { uid }, status: { phase: "Failed", conditions: [this.#disruption(why)] } };
        await client.patch({ ...ref, subresource: "status" }, { type: "strategic", body }, { signal });
      }
      await client.delete(ref, { gracePeriodSeconds: 0, preconditions: { uid }, signal });
      logger.info("Removed pod without a home", { pod: keyOf(pod), why: why ?? "it never had a node" });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }

  #disruption(message: string): object {
    const lastTransitionTime = formatTime(this.#context.clock.now());
    return { type: "DisruptionTarget", status: "True", reason: "DeletionByPodGC", message, lastTransitionTime };
  }

  /** Oldest first; evicted ones before others. */
  async #deleteFinished(signal: AbortSignal): Promise<void> {
    const finished = this.#pods.lister.list().filter((pod) => isPodFinished(pod));
    const surplus = finished.length - this.#maxFinished;
    if (surplus <= 0) return;
    const isEvicted = (pod: Pod) => Number(pod.status?.reason === "Evicted");
    const created = (pod: Pod) => pod.metadata?.creationTimestamp ?? "";
    const sorted = finished.sort((a, b) => isEvicted(b) - isEvicted(a) || (created(a) < created(b) ? -1 : 1));
    for (const pod of sorted.slice(0, surplus)) await this.#remove(pod, undefined, signal);
  }
}

function isOutOfService(node: Node): boolean {
  const isReady = node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  return !isReady && (node.spec?.taints ?? []).some((taint) => taint.key === "node.kubernetes.io/out-of-service");
}
