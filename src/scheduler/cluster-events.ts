/**
 * Keeps the scheduler's cache and queue true to what informers tell, and tells the queue what may help waiting pods.
 */
import { isDeepStrictEqual } from "node:util";
import type { Node, PersistentVolumeClaim, Pod } from "#api/generated/types/core-v1.ts";
import type { Informer } from "#client/informer.ts";
import type { SchedulerCache } from "./cache.ts";
import { podInfoOf } from "./pod-info.ts";
import type { PodInfo } from "./pod-info.ts";
import type { SchedulingQueue } from "./queue.ts";

export class ClusterEvents {
  readonly #cache: SchedulerCache;
  readonly #queue: SchedulingQueue;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #schedulerName: string;
  #disconnect: (() => void)[] = [];

  constructor(options: {
    readonly cache: SchedulerCache;
    readonly queue: SchedulingQueue;
    readonly pods: Informer<Pod>;
    readonly nodes: Informer<Node>;
    readonly claims: Informer<PersistentVolumeClaim>;
    readonly schedulerName: string;
  }) {
    this.#cache = options.cache;
    this.#queue = options.queue;
    this.#pods = options.pods;
    this.#nodes = options.nodes;
    this.#claims = options.claims;
    this.#schedulerName = options.schedulerName;
  }

  connect(): void {
    this.#disconnect = [
      this.#nodes.addHandler({
        onAdd: (node) => this.#onNode(undefined, node),
        onUpdate: (before, node) => this.#onNode(before, node),
        onDelete: (node) => this.#cache.removeNode(node.metadata?.name ?? ""),
      }),
      this.#pods.addHandler({
        onAdd: (pod) => this.#onPod(undefined, pod),
        onUpdate: (before, pod) => this.#onPod(before, pod),
        onDelete: (pod) => this.#onPodGone(pod),
      }),
      this.#claims.addHandler({
        onAdd: (claim) => this.#queue.onChange({ kind: "claimChanged", claim }),
        onUpdate: (_, claim) => this.#queue.onChange({ kind: "claimChanged", claim }),
      }),
    ];
  }

  disconnect(): void {
    for (const disconnect of this.#disconnect.splice(0)) disconnect();
  }

  /** True when the informer shows the pod on a node. */
  isBound(info: PodInfo): boolean {
    return Boolean(this.#current(info)?.spec?.nodeName);
  }

  /** True when the pod is there still and has no node. */
  isWaiting(info: PodInfo): boolean {
    const current = this.#current(info);
    return current !== undefined && !current.spec?.nodeName && current.metadata?.deletionTimestamp === undefined;
  }

  #current(info: PodInfo): Pod | undefined {
    const current = this.#pods.lister.find(info.namespace, info.pod.metadata?.name ?? "");
    return current?.metadata?.uid === info.uid ? current : undefined;
  }

  #onNode(before: Node | undefined, node: Node): void {
    this.#cache.setNode(node);
    if (before === undefined) return this.#queue.onChange({ kind: "nodeAdded", node });
    // Heartbeats change nothing that scheduling looks at.
    if (matters(before, node)) this.#queue.onChange({ kind: "nodeUpdated", before, node });
  }

  #onPod(before: Pod | undefined, pod: Pod): void {
    if (isFinished(pod)) return this.#onPodGone(pod);
    if (pod.spec?.nodeName) return this.#onPlacedPod(before, pod, pod.spec.nodeName);
    const isOurs = (pod.spec?.schedulerName ?? "default-scheduler") === this.#schedulerName;
    const uid = pod.metadata?.uid ?? "";
    if (!isOurs || this.#cache.findPlaced(uid) !== undefined) return;
    if (pod.metadata?.deletionTimestamp !== undefined) return this.#onPodGone(pod);
    const isSameToUs =
      before !== undefined && before.spec === pod.spec && before.metadata?.labels === pod.metadata?.labels;
    // What was promised before a restart of ours still is.
    if (before === undefined && pod.status?.nominatedNodeName)
      this.#cache.nominate(podInfoOf(pod), pod.status.nominatedNodeName);
    if (isSameToUs || (before !== undefined && !mayMatter(before, pod))) this.#queue.refresh(podInfoOf(pod));
    else this.#queue.add(podInfoOf(pod));
  }

  #onPlacedPod(before: Pod | undefined, pod: Pod, node: string): void {
    const uid = pod.metadata?.uid ?? "";
    this.#queue.delete(uid);
    const known = this.#cache.findPlaced(uid);
    const isKnownHere = known?.node === node;
    if (isKnownHere && before !== undefined && !mayMatter(before, pod) && before.spec?.nodeName) return;
    const info = podInfoOf(pod);
    this.#cache.place(info, node);
    if (!isKnownHere || !before?.spec?.nodeName) this.#queue.onChange({ kind: "podPlaced", pod: info });
    else this.#queue.onChange({ kind: "podUpdated", before: known.pod, pod: info });
  }

  #onPodGone(pod: Pod): void {
    const uid = pod.metadata?.uid ?? "";
    this.#queue.delete(uid);
    this.#cache.dropNomination(uid);
    const info = this.#cache.remove(uid);
    if (info !== undefined) this.#queue.onChange({ kind: "podGone", pod: info });
  }
}

function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Whether a change of a pod can matter to placing it or others: its spec, labels and deletion do, its status does not. */
function mayMatter(before: Pod, after: Pod): boolean {
  return (
    before.metadata?.deletionTimestamp !== after.metadata?.deletionTimestamp ||
    !isDeepStrictEqual(before.spec, after.spec) ||
    !isDeepStrictEqual(before.metadata?.labels, after.metadata?.labels)
  );
}

function matters(before: Node, after: Node): boolean {
  return (
    !isDeepStrictEqual(before.spec, after.spec) ||
    !isDeepStrictEqual(before.metadata?.labels, after.metadata?.labels) ||
    !isDeepStrictEqual(before.status?.allocatable, after.status?.allocatable)
  );
}
