/**
 * What scheduling plugins are: filters that say which nodes a pod can run on, scorers that say where it runs best, and hints that say which change in the cluster may help a pod
 * that found no place. As kube-scheduler's framework; the points are functions of a pod that give functions of a node, so that what depends on the pod alone is done once.
 */
import type { Node, PersistentVolumeClaim } from "#api/generated/types/core-v1.ts";
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";

/** All that plugins may look at. */
export interface ClusterView {
  /** All nodes, in the order in which they are tried. */
  readonly nodes: readonly NodeInfo[];
  /** The node of this name, or undefined. */
  findNode(name: string): NodeInfo | undefined;
  /** Nodes with pods that have (anti-)affinity to others. */
  readonly nodesWithAffinity: Iterable<NodeInfo>;
  /** Pods for which room was made on the node and which are not there yet. */
  nominatedTo(node: string): readonly PodInfo[];
  /** The claim of a volume, or undefined. */
  findClaim(namespace: string, name: string): PersistentVolumeClaim | undefined;
  /** Labels of a namespace. */
  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined;
}

/** Why a node is no place for the pod. `isFinal`: taking other pods away would not help. */
export type Rejection = { readonly reasons: readonly string[]; readonly isFinal: boolean };

/** Judges one node; undefined means that the pod can run there. */
export type NodeFilter = (node: NodeInfo) => Rejection | undefined;

/** Says which nodes a pod can run on. */
export interface FilterPlugin {
  readonly name: string;
  /** The filter for this pod; undefined when every node will do. */
  prepareFilter(pod: PodInfo, view: ClusterView): NodeFilter | undefined;
  /** Why no node at all will do, whatever it has: what is wrong lies with the pod, or with what it asks for. */
  refusePod?(pod: PodInfo, view: ClusterView): string | undefined;
  /** Names of the only nodes worth trying, where they are known from the pod alone. */
  namedNodes?(pod: PodInfo): ReadonlySet<string> | undefined;
  /** True when the change may make room for a pod that this plugin kept off. */
  mayHelp(change: ClusterChange, pod: PodInfo): boolean;
}

/** Rates one node. */
export type NodeScorer = {
  /** Any number; brought to 0–100 by `normalize`, or in that range already. */
  readonly score: (node: NodeInfo) => number;
  readonly normalize?: (scores: Float64Array) => void;
};

/** Says where a pod runs best. */
export interface ScorePlugin {
  readonly name: string;
  readonly weight: number;
  /** The scorer for this pod over the nodes that passed; undefined when all are alike. */
  prepareScore(pod: PodInfo, view: ClusterView, feasible: readonly NodeInfo[]): NodeScorer | undefined;
}

/** Something happened in the cluster that may matter to pods that found no place. */
export type ClusterChange =
  | { readonly kind: "nodeAdded"; readonly node: Node }
  | { readonly kind: "nodeUpdated"; readonly before: Node; readonly node: Node }
  | { readonly kind: "podPlaced"; readonly pod: PodInfo }
  | { readonly kind: "podGone"; readonly pod: PodInfo }
  | { readonly kind: "claimChanged"; readonly claim: PersistentVolumeClaim }
  | { readonly kind: "podUpdated"; readonly before: PodInfo; readonly pod: PodInfo };

/** Highest score of a node under one plugin. */
export const maxScore = 100;

/** Brings scores to 0–100 by the highest; `isReversed` makes the lowest the best. As upstream's default. */
export function normalizeByHighest(scores: Float64Array, isReversed: boolean): void {
  let highest = 0;
  for (const score of scores) if (score > highest) highest = score;
  for (let i = 0; i < scores.length; i++) {
    const score = highest === 0 ? 0 : Math.floor((maxScore * scores[i]!) / highest);
    scores[i] = isReversed ? maxScore - score : score;
  }
}
