/**
 * Affinity and anti-affinity between pods: in which zones, on which nodes, beside which pods a pod must, must not or would rather run; and what pods that run already say about it.
 */
import type { ClusterView, FilterPlugin, NodeScorer, Rejection, ScorePlugin } from "#scheduler/framework.ts";
import { maxScore } from "#scheduler/framework.ts";
import { matchesSelector } from "#apimachinery/label-selector.ts";
import type { NodeInfo } from "#scheduler/node-info.ts";
import { hasPodAffinity } from "#scheduler/pod-info.ts";
import type { AffinityTerm, PodInfo } from "#scheduler/pod-info.ts";

const existingRejection: Rejection = {
  reasons: ["node(s) didn't satisfy existing pods anti-affinity rules"],
  isFinal: false,
};
const affinityRejection: Rejection = { reasons: ["node(s) didn't match pod affinity rules"], isFinal: true };
const antiAffinityRejection: Rejection = { reasons: ["node(s) didn't match pod anti-affinity rules"], isFinal: false };

/** How much a required affinity of a pod that runs weighs for pods that it wants beside it. As upstream. */
const hardPodAffinityWeight = 1;

/** Counts or weights by topology key and value: how many pods there are in zone a, on node 7. */
class TopologyCounts {
  readonly #byKey = new Map<string, Map<string, number>>();

  get isEmpty(): boolean {
    return this.#byKey.size === 0;
  }

  add(node: NodeInfo, topologyKey: string, amount: number): void {
    const value = node.node.metadata?.labels?.[topologyKey];
    if (value === undefined) return;
    const values = this.#byKey.get(topologyKey) ?? new Map<string, number>();
    this.#byKey.set(topologyKey, values.set(value, (values.get(value) ?? 0) + amount));
  }

  at(node: NodeInfo, topologyKey: string): number {
    const value = node.node.metadata?.labels?.[topologyKey];
    return value === undefined ? 0 : (this.#byKey.get(topologyKey)?.get(value) ?? 0);
  }

  /** True when any of the node's places has a count. */
  touches(node: NodeInfo): boolean {
    for (const key of this.#byKey.keys()) if (this.at(node, key) > 0) return true;
    return false;
  }

  sumAt(node: NodeInfo): number {
    let sum = 0;
    for (const key of this.#byKey.keys()) sum += this.at(node, key);
    return sum;
  }
}

export const interPodAffinity: FilterPlugin & ScorePlugin = {
  name: "InterPodAffinity",
  weight: 2,
  prepareFilter(pod, view) {
    const existing = existingAntiAffinity(pod, view);
    const { requiredAffinity, requiredAntiAffinity } = pod;
    if (existing.isEmpty && requiredAffinity.length === 0 && requiredAntiAffinity.length === 0) return undefined;
    const affinity = new TopologyCounts();
    const antiAffinity = requiredAntiAffinity.map(() => new TopologyCounts());
    if (requiredAffinity.length > 0 || requiredAntiAffinity.length > 0)
      countMatching(pod, view, affinity, antiAffinity);
    // The first of a group that wants to be together has nobody to be with.
    const isFirst = affinity.isEmpty && requiredAffinity.every((term) => matchesTerm(term, pod, view));
    return (node) => {
      const hasPlaces = requiredAffinity.every((term) => node.node.metadata?.labels?.[term.topologyKey] !== undefined);
      const isNear = requiredAffinity.every((term) => affinity.at(node, term.topologyKey) > 0);
      if (!hasPlaces || (!isNear && !isFirst)) return affinityRejection;
      if (requiredAntiAffinity.some((term, i) => antiAffinity[i]!.at(node, term.topologyKey) > 0))
        return antiAffinityRejection;
      return existing.touches(node) ? existingRejection : undefined;
    };
  },
  mayHelp(change, pod) {
    switch (change.kind) {
      case "nodeAdded":
        return true;
      case "nodeUpdated":
        return change.before.metadata?.labels !== change.node.metadata?.labels;
      case "podPlaced":
        return pod.requiredAffinity.length > 0;
      case "podGone":
        return pod.requiredAntiAffinity.length > 0 || change.pod.requiredAntiAffinity.length > 0;
      case "podUpdated":
        return true;
      case "claimChanged":
        return false;
    }
  },
  prepareScore(pod, view) {
    const scores = new TopologyCounts();
    const hasPreferences = pod.preferredAffinity.length > 0 || pod.preferredAntiAffinity.length > 0;
    for (const node of hasPreferences ? view.nodes : view.nodesWithAffinity) {
      const pods = hasPreferences ? node.pods.values() : node.podsWithAffinity;
      for (const other of pods) weigh(pod, other, node, view, scores);
    }
    return scores.isEmpty ? undefined : scorerOf(scores);
  },
};

/** Where pods that run already will not have this one. */
function existingAntiAffinity(pod: PodInfo, view: ClusterView): TopologyCounts {
  const counts = new TopologyCounts();
  for (const node of view.nodesWithAffinity) {
    for (const other of node.podsWithAffinity) {
      for (const term of other.requiredAntiAffinity)
        if (matchesTerm(term, pod, view)) counts.add(node, term.topologyKey, 1);
    }
  }
  return counts;
}

function countMatching(
  pod: PodInfo,
  view: ClusterView,
  affinity: TopologyCounts,
  antiAffinity: readonly TopologyCounts[],
): void {
  const { requiredAffinity, requiredAntiAffinity } = pod;
  for (const node of view.nodes) {
    for (const other of node.pods.values()) {
      // A pod counts for affinity only when it meets all terms.
      if (requiredAffinity.length > 0 && requiredAffinity.every((term) => matchesTerm(term, other, view))) {
        for (const term of requiredAffinity) affinity.add(node, term.topologyKey, 1);
      }
      for (const [i, term] of requiredAntiAffinity.entries()) {
        if (matchesTerm(term, other, view)) antiAffinity[i]!.add(node, term.topologyKey, 1);
      }
    }
  }
}

/** What the pod that runs means for the places around it: by what the new pod prefers, and by what it prefers itself. */
function weigh(pod: PodInfo, other: PodInfo, node: NodeInfo, view: ClusterView, scores: TopologyCounts): void {
  const add = (terms: readonly AffinityTerm[], matching: PodInfo, sign: 1 | -1, weight?: number) => {
    for (const term of terms) {
      if (matchesTerm(term, matching, view)) scores.add(node, term.topologyKey, sign * (weight ?? term.weight));
    }
  };
  add(pod.preferredAffinity, other, 1);
  add(pod.preferredAntiAffinity, other, -1);
  if (!hasPodAffinity(other)) return;
  add(other.requiredAffinity, pod, 1, hardPodAffinityWeight);
  add(other.preferredAffinity, pod, 1);
  add(other.preferredAntiAffinity, pod, -1);
}

function scorerOf(scores: TopologyCounts): NodeScorer {
  return {
    score: (node) => scores.sumAt(node),
    normalize(values) {
      let [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      for (const value of values) {
        lowest = Math.min(lowest, value);
        highest = Math.max(highest, value);
      }
      const range = highest - lowest;
      for (let i = 0; i < values.length; i++)
        values[i] = range > 0 ? Math.floor((maxScore * (values[i]! - lowest)) / range) : 0;
    },
  };
}

function matchesTerm(term: AffinityTerm, pod: PodInfo, view: ClusterView): boolean {
  if (!matchesSelector(term.selector, pod.pod.metadata?.labels)) return false;
  if (term.namespaces.has(pod.namespace)) return true;
  const { namespaceSelector } = term;
  return namespaceSelector !== undefined && matchesSelector(namespaceSelector, view.namespaceLabels(pod.namespace));
}
