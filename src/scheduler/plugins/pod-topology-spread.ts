/**
 * Spreads pods over zones and nodes: as their constraints demand, or as they wish; pods without constraints of their own spread with those of the same controller.
 */
import type { Node, Pod, TopologySpreadConstraint } from "#api/generated/types/core-v1.ts";
import { compileLabelSelector, matchesSelector, newRequirement } from "#apimachinery/label-selector.ts";
import type { Selector } from "#apimachinery/label-selector.ts";
import type { ClusterView, FilterPlugin, NodeScorer, Rejection, ScorePlugin } from "#scheduler/framework.ts";
import { maxScore } from "#scheduler/framework.ts";
import type { NodeInfo } from "#scheduler/node-info.ts";
import { requiredNodes, untoleratedTaint } from "#api/core/node-matching.ts";
import { withRequirements } from "#scheduler/pod-info.ts";
import type { PodInfo } from "#scheduler/pod-info.ts";

const message = "node(s) didn't match pod topology spread constraints";
const rejection: Rejection = { reasons: [message], isFinal: false };
const labelRejection: Rejection = { reasons: [`${message} (missing required label)`], isFinal: true };
const hostnameLabel = "kubernetes.io/hostname";
const zoneLabel = "topology.kubernetes.io/zone";

type Constraint = {
  readonly maxSkew: number;
  readonly topologyKey: string;
  readonly minDomains: number;
  /** How many pods of the kind that is spread are on a node. */
  readonly countOn: (node: NodeInfo) => number;
  readonly isOneOfThem: boolean;
  /** Whether the node's pods count at all. */
  readonly includes: (node: Node) => boolean;
};

export const podTopologySpread: FilterPlugin & ScorePlugin = {
  name: "PodTopologySpread",
  weight: 2,
  prepareFilter(pod, view) {
    const constraints = constraintsOf(pod, "DoNotSchedule");
    if (constraints.length === 0) return undefined;
    const spreads = constraints.map((constraint) => ({ constraint, ...countDomains(constraint, constraints, view) }));
    return (node) => {
      const labels = node.node.metadata?.labels ?? {};
      for (const { constraint, counts, fewest } of spreads) {
        const value = labels[constraint.topologyKey];
        if (value === undefined) return labelRejection;
        const skew = (counts.get(value) ?? 0) + (constraint.isOneOfThem ? 1 : 0) - fewest;
        if (skew > constraint.maxSkew) return rejection;
      }
      return undefined;
    };
  },
  mayHelp: (change) =>
    change.kind === "nodeUpdated"
      ? change.before.metadata?.labels !== change.node.metadata?.labels
      : change.kind !== "claimChanged",
  prepareScore(pod, view, feasible) {
    const own = constraintsOf(pod, "ScheduleAnyway");
    const hasOwn = (pod.pod.spec?.topologySpreadConstraints?.length ?? 0) > 0;
    const constraints = hasOwn ? own : defaultConstraints(pod);
    if (constraints.length === 0) return undefined;
    return scorerOf(constraints, { view, feasible, needsAllLabels: hasOwn });
  },
};

function constraintsOf(pod: PodInfo, action: string): readonly Constraint[] {
  return (pod.pod.spec?.topologySpreadConstraints ?? [])
    .filter((constraint) => constraint.whenUnsatisfiable === action)
    .map((constraint) => compile(constraint, pod));
}

function compile(constraint: TopologySpreadConstraint, info: PodInfo): Constraint {
  const { pod } = info;
  const labels = pod.metadata?.labels ?? {};
  const keys = (constraint.matchLabelKeys ?? []).filter((key) => key in labels);
  const extra = keys.map((key) => newRequirement(key, "in", [labels[key]!]));
  const selector = withRequirements(compileLabelSelector(constraint.labelSelector), extra);
  const matches = (constraint.nodeAffinityPolicy ?? "Honor") === "Honor" ? requiredNodes(pod) : undefined;
  const honorsTaints = constraint.nodeTaintsPolicy === "Honor";
  return {
    maxSkew: constraint.maxSkew,
    topologyKey: constraint.topologyKey,
    minDomains: constraint.minDomains ?? 1,
    countOn: (node) => countMatching(node, selector, info.namespace),
    isOneOfThem: matchesSelector(selector, labels),
    includes: (node) =>
      (matches?.(node) ?? true) &&
      !(honorsTaints && untoleratedTaint(node.spec?.taints, pod.spec?.tolerations) !== undefined),
  };
}

/** A node may have hundreds of pods and few of them matter; those on their way out do not. */
function countMatching(node: NodeInfo, selector: Selector, namespace: string): number {
  if (selector.matchesNothing || selector.requirements.length === 0) return 0;
  let count = 0;
  for (const { pod, namespace: other } of node.pods.values()) {
    if (other !== namespace || pod.metadata?.deletionTimestamp !== undefined) continue;
    if (matchesSelector(selector, pod.metadata?.labels)) count++;
  }
  return count;
}

/** What upstream spreads by default: mildly over nodes, more mildly over zones. */
function defaultConstraints(info: PodInfo): readonly Constraint[] {
  const owner = controllerUid(info.pod);
  if (owner === undefined) return [];
  const common = {
    minDomains: 1,
    isOneOfThem: true,
    includes: () => true,
    countOn: (node: NodeInfo) => node.podsOfController(owner),
  };
  return [
    { ...common, topologyKey: hostnameLabel, maxSkew: 3 },
    { ...common, topologyKey: zoneLabel, maxSkew: 5 },
  ];
}

function controllerUid(pod: Pod): string | undefined {
  return pod.metadata?.ownerReferences?.find((owner) => owner.controller === true)?.uid;
}

/** Pods by domain, over the nodes that have all labels, and the fewest in any. */
function countDomains(constraint: Constraint, all: readonly Constraint[], view: ClusterView) {
  const counts = new Map<string, number>();
  for (const node of view.nodes) {
    const labels = node.node.metadata?.labels ?? {};
    if (!all.every(({ topologyKey }) => topologyKey in labels) || !constraint.includes(node.node)) continue;
    const value = labels[constraint.topologyKey]!;
    counts.set(value, (counts.get(value) ?? 0) + constraint.countOn(node));
  }
  const fewest = counts.size < constraint.minDomains ? 0 : Math.min(...counts.values());
  return { counts, fewest: Number.isFinite(fewest) ? fewest : 0 };
}

type ScoreInput = {
  readonly view: ClusterView;
  readonly feasible: readonly NodeInfo[];
  readonly needsAllLabels: boolean;
};

function scorerOf(constraints: readonly Constraint[], input: ScoreInput): NodeScorer | undefined {
  const { feasible, needsAllLabels } = input;
  const hasAllLabels = (node: NodeInfo) =>
    constraints.every(({ topologyKey }) => topologyKey in (node.node.metadata?.labels ?? {}));
  const isIgnored = (node: NodeInfo) => needsAllLabels && !hasAllLabels(node);
  const ignored = new Set(feasible.filter(isIgnored));
  const spreads = constraints.map((constraint) => spreadOf(constraint, input, ignored));
  if (spreads.every((spread) => spread === undefined)) return undefined;
  return {
    score(node) {
      if (ignored.has(node)) return -1;
      let score = 0;
      for (const spread of spreads) score += spread?.(node) ?? 0;
      return Math.round(score);
    },
    normalize: reverseNormalize,
  };
}

/** A node's score under one constraint: the fewer pods in its domain the lower. Domains of large topologies weigh more, so that small ones do not drown. */
function spreadOf(
  constraint: Constraint,
  input: ScoreInput,
  ignored: ReadonlySet<NodeInfo>,
): ((node: NodeInfo) => number) | undefined {
  const { topologyKey, maxSkew } = constraint;
  const domainOf = (node: NodeInfo) => node.node.metadata?.labels?.[topologyKey];
  if (topologyKey === hostnameLabel) {
    const weight = Math.log(input.feasible.length - ignored.size + 2);
    return (node) => (domainOf(node) === undefined ? 0 : constraint.countOn(node) * weight + maxSkew - 1);
  }
  const counts = new Map<string, number>();
  for (const node of input.feasible) {
    const value = domainOf(node);
    if (value !== undefined && !ignored.has(node)) counts.set(value, 0);
  }
  if (counts.size === 0) return undefined;
  for (const node of input.view.nodes) {
    const value = domainOf(node);
    if (value === undefined || !counts.has(value) || !constraint.includes(node.node)) continue;
    counts.set(value, counts.get(value)! + constraint.countOn(node));
  }
  const weight = Math.log(counts.size + 2);
  return (node) => {
    const value = domainOf(node);
    return value === undefined ? 0 : (counts.get(value) ?? 0) * weight + maxSkew - 1;
  };
}

/** Fewer is better; nodes without the labels get nothing. */
function reverseNormalize(scores: Float64Array): void {
  let [lowest, highest] = [Number.POSITIVE_INFINITY, 0];
  for (const score of scores) {
    if (score < 0) continue;
    lowest = Math.min(lowest, score);
    highest = Math.max(highest, score);
  }
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (score < 0) scores[i] = 0;
    else scores[i] = highest === 0 ? maxScore : Math.floor((maxScore * (highest + lowest - score)) / highest);
  }
}
