/**
 * The scheduler's picture of the cluster: nodes with the pods that run on them, and with those that were just placed and whose binding is under way. Changed in place, never copied.
 */
import type { Node, PersistentVolumeClaim } from "#api/generated/types/core-v1.ts";
import type { ClusterView } from "./framework.ts";
import { NodeInfo } from "./node-info.ts";
import { hasPodAffinity } from "./pod-info.ts";
import type { PodInfo } from "./pod-info.ts";

const nobody: readonly PodInfo[] = [];
const zoneLabel = "topology.kubernetes.io/zone";

export class SchedulerCache implements ClusterView {
  readonly #nodes = new Map<string, NodeInfo>();
  /** Where each pod is, by uid: bound, or assumed to be soon. */
  readonly #placed = new Map<string, { readonly pod: PodInfo; readonly node: string }>();
  /** Pods on nodes that are not known yet, or no more. */
  readonly #homeless = new Map<string, Map<string, PodInfo>>();
  readonly #withAffinity = new Set<NodeInfo>();
  readonly #nominated = new Map<string, Map<string, PodInfo>>();
  readonly #nominations = new Map<string, string>();
  readonly #lookups: Pick<ClusterView, "namespaceLabels" | "findClaim">;
  #order: readonly NodeInfo[] | undefined;

  constructor(lookups: Pick<ClusterView, "namespaceLabels" | "findClaim">) {
    this.#lookups = lookups;
  }

  /** All nodes; zones take turns, so that the first ones tried are not all of one zone. */
  get nodes(): readonly NodeInfo[] {
    this.#order ??= interleave([...this.#nodes.values()]);
    return this.#order;
  }

  get nodesWithAffinity(): Iterable<NodeInfo> {
    return this.#withAffinity;
  }

  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined {
    return this.#lookups.namespaceLabels(namespace);
  }

  findClaim(namespace: string, name: string): PersistentVolumeClaim | undefined {
    return this.#lookups.findClaim(namespace, name);
  }

  nominatedTo(node: string): readonly PodInfo[] {
    const promised = this.#nominated.get(node);
    return promised === undefined ? nobody : [...promised.values()];
  }

  /** Room is being made for the pod on the node. */
  nominate(pod: PodInfo, node: string): void {
    this.dropNomination(pod.uid);
    this.#nominations.set(pod.uid, node);
    const promised = this.#nominated.get(node) ?? new Map<string, PodInfo>();
    this.#nominated.set(node, promised.set(pod.uid, pod));
  }

  /** The pod is placed or gone, or needs the room no more. */
  dropNomination(uid: string): void {
    const node = this.#nominations.get(uid);
    if (node === undefined) return;
    this.#nominations.delete(uid);
    const promised = this.#nominated.get(node);
    promised?.delete(uid);
    if (promised?.size === 0) this.#nominated.delete(node);
  }

  findNode(name: string): NodeInfo | undefined {
    return this.#nodes.get(name);
  }

  setNode(node: Node): void {
    const name = node.metadata?.name ?? "";
    const known = this.#nodes.get(name);
    if (known !== undefined) {
      if (known.node.metadata?.labels?.[zoneLabel] !== node.metadata?.labels?.[zoneLabel]) this.#order = undefined;
      known.node = node;
      return;
    }
    const info = new NodeInfo(node);
    this.#nodes.set(name, info);
    this.#order = undefined;
    for (const pod of this.#homeless.get(name)?.values() ?? []) this.#addTo(info, pod);
    this.#homeless.delete(name);
  }

  removeNode(name: string): void {
    const info = this.#nodes.get(name);
    if (info === undefined) return;
    this.#nodes.delete(name);
    this.#withAffinity.delete(info);
    this.#order = undefined;
    if (info.pods.size > 0) this.#homeless.set(name, new Map(info.pods));
  }

  /** The pod runs on the node, or will: `pod` replaces what was known of it. */
  place(pod: PodInfo, node: string): void {
    this.remove(pod.uid);
    this.dropNomination(pod.uid);
    this.#placed.set(pod.uid, { pod, node });
    const info = this.#nodes.get(node);
    if (info !== undefined) return this.#addTo(info, pod);
    const waiting = this.#homeless.get(node) ?? new Map<string, PodInfo>();
    this.#homeless.set(node, waiting.set(pod.uid, pod));
  }

  /** Forgets the pod; gives what was known of it. */
  remove(uid: string): PodInfo | undefined {
    const placed = this.#placed.get(uid);
    if (placed === undefined) return undefined;
    this.#placed.delete(uid);
    const info = this.#nodes.get(placed.node);
    if (info === undefined) {
      const waiting = this.#homeless.get(placed.node);
      waiting?.delete(uid);
      if (waiting?.size === 0) this.#homeless.delete(placed.node);
      return placed.pod;
    }
    info.remove(uid);
    if (info.podsWithAffinity.size === 0) this.#withAffinity.delete(info);
    return placed.pod;
  }

  /** The pod as it was placed, or undefined. */
  findPlaced(uid: string): { readonly pod: PodInfo; readonly node: string } | undefined {
    return this.#placed.get(uid);
  }

  #addTo(info: NodeInfo, pod: PodInfo): void {
    info.add(pod);
    if (hasPodAffinity(pod)) this.#withAffinity.add(info);
  }
}

function interleave(nodes: readonly NodeInfo[]): readonly NodeInfo[] {
  const zones = Map.groupBy(nodes, (node) => node.node.metadata?.labels?.[zoneLabel] ?? "");
  if (zones.size <= 1) return nodes;
  const order: NodeInfo[] = [];
  for (let i = 0; order.length < nodes.length; i++) {
    for (const zone of zones.values()) if (i < zone.length) order.push(zone[i]!);
  }
  return order;
}
