/**
 * Deletes pods from nodes with NoExecute taints: at once those that don't tolerate them, the others when their tolerationSeconds are over. As kube-controller-manager's taint
 * eviction controller.
 */
import { tolerates } from "#api/core/node-matching.ts";
import type { Node, Pod, Taint } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { byNode, nodeInformer, podInformer, pods } from "#controllers/common/resources.ts";

/** The controller of evictions by taint. Keys are pods. */
export function createTaintEvictionController(context: ControllerContext): NamedController {
  return new TaintEviction(context).controller;
}

class TaintEviction {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #nodes: Informer<Node>;
  readonly #pods: Informer<Pod>;
  /** Since when pods have been on a node whose taints they tolerate for a time only, by uid. */
  readonly #sinceMs = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("taint-eviction-controller");
    this.controller = new KeyedController(context, {
      name: "taint-eviction-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    this.#nodes = this.controller.watch(nodeInformer(context), {
      onAdd: (node) => this.#onNode(node),
      onUpdate: (before, node) => {
        if (!semanticEqual(noExecuteTaints(before), noExecuteTaints(node))) this.#onNode(node);
      },
    });
    this.#pods = this.controller.watch(podInformer(context), {
      onAdd: (pod) => this.#onPod(pod),
      onUpdate: (before, pod) => {
        const isSame =
          before.spec?.nodeName === pod.spec?.nodeName &&
          semanticEqual(before.spec?.tolerations, pod.spec?.tolerations);
        if (!isSame) this.#onPod(pod);
      },
      onDelete: (pod) => this.#sinceMs.delete(pod.metadata?.uid ?? ""),
    });
  }

  #onNode(node: Node): void {
    const all = this.#pods.lister.byIndex(byNode, node.metadata?.name ?? "");
    if (noExecuteTaints(node).length === 0 && !all.some((pod) => this.#sinceMs.has(pod.metadata?.uid ?? ""))) return;
    for (const pod of all) this.controller.queue.add(keyOf(pod));
  }

  #onPod(pod: Pod): void {
    const node = pod.spec?.nodeName ? this.#nodes.lister.find("", pod.spec.nodeName) : undefined;
    if (node !== undefined && noExecuteTaints(node).length > 0) this.controller.queue.add(keyOf(pod));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const pod = this.#pods.lister.find(namespace, name);
    const node = pod?.spec?.nodeName ? this.#nodes.lister.find("", pod.spec.nodeName) : undefined;
    if (pod === undefined || node === undefined || pod.metadata?.deletionTimestamp !== undefined) return;
    const uid = pod.metadata?.uid ?? "";
    const stayMs = allowedStayMs(pod, noExecuteTaints(node));
    if (stayMs === Number.POSITIVE_INFINITY) return this.#cancel(pod, uid);
    const nowMs = this.#context.clock.now();
    const sinceMs = this.#sinceMs.get(uid) ?? nowMs;
    const leftMs = sinceMs + stayMs - nowMs;
    if (leftMs > 0) {
      this.#sinceMs.set(uid, sinceMs);
      return leftMs;
    }
    this.#sinceMs.delete(uid);
    await this.#evict(pod, signal);
  }

  #cancel(pod: Pod, uid: string): void {
    if (!this.#sinceMs.delete(uid)) return;
    const message = `Cancelling deletion of Pod ${keyOf(pod)}`;
    this.#events.record(pod, { type: "Normal", reason: "TaintManagerEviction", message });
  }

  async #evict(pod: Pod, signal: AbortSignal): Promise<void> {
    const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
    const message = `Marking for deletion Pod ${keyOf(pod)}`;
    this.#events.record(pod, { type: "Normal", reason: "TaintManagerEviction", message });
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByTaintManager",
      message: "Taint manager: deleting due to NoExecute taint",
      lastTransitionTime: formatTime(this.#context.clock.now()),
    };
    const ref = { resource: pods, namespace, name };
    const { client } = this.#context;
    try {
      const body = { metadata: { uid }, status: { conditions: [condition] } };
      await client.patch({ ...ref, subresource: "status" }, { type: "strategic", body }, { signal });
      await client.delete(ref, { preconditions: { uid }, signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }
}

function noExecuteTaints(node: Node): readonly Taint[] {
  return (node.spec?.taints ?? []).filter((taint) => taint.effect === "NoExecute");
}

/** How long the pod may stay: for ever when it tolerates all without limit, not at all when one is not tolerated. */
export function allowedStayMs(pod: Pod, taints: readonly Taint[]): number {
  let stayMs = Number.POSITIVE_INFINITY;
  for (const taint of taints) {
    const matching = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return 0;
    for (const { tolerationSeconds } of matching) {
      if (tolerationSeconds !== undefined) stayMs = Math.min(stayMs, Math.max(0, tolerationSeconds) * 1000);
    }
  }
  return stayMs;
}
