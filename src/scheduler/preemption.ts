/**
 * Makes room for a pod that found none, by taking less important ones away: on which node that costs least, and which pods must go there. Rules and order of preference as
 * kube-scheduler's default preemption.
 */
import type { PodDisruptionBudget } from "#api/generated/types/policy-v1.ts";
import { compileLabelSelector, matchesSelector } from "#apimachinery/label-selector.ts";
import type { ClusterView, Rejection } from "./framework.ts";
import { countReasons, firstRejection } from "./find-node.ts";
import type { FitFailure, NodeFinder } from "./find-node.ts";
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";

/** Nodes tried in large clusters: a tenth, but 100 at least. */
const minCandidates = 100;
const candidateShare = 0.1;

/** Where room can be made, and who has to go. */
export type Preemption = { readonly node: string; readonly victims: readonly PodInfo[] };

/** Room, or why there is none, in upstream's words. */
export type PreemptionResult = { readonly preemption: Preemption } | { readonly message: string };

type Candidate = Preemption & { readonly violations: number };

const helpless: Rejection = { reasons: ["Preemption is not helpful for scheduling"], isFinal: true };
const noVictims: Rejection = { reasons: ["No preemption victims found for incoming pod"], isFinal: true };

/** Why the pod may not even try; undefined when it may. */
export function whyNotPreempt(pod: PodInfo, view: ClusterView): string | undefined {
  if (pod.pod.spec?.preemptionPolicy === "Never") return "not eligible due to preemptionPolicy=Never.";
  const nominated = pod.pod.status?.nominatedNodeName;
  if (!nominated) return undefined;
  for (const other of view.findNode(nominated)?.pods.values() ?? []) {
    const isLeaving = other.pod.metadata?.deletionTimestamp !== undefined && other.priority < pod.priority;
    if (isLeaving) return "not eligible due to a terminating pod on the nominated node.";
  }
  return undefined;
}

/** Looks for the cheapest node to make room on. */
export function findPreemption(
  pod: PodInfo,
  failure: FitFailure,
  context: {
    readonly finder: NodeFinder;
    readonly view: ClusterView;
    readonly budgets: readonly PodDisruptionBudget[];
  },
): PreemptionResult {
  const { view } = context;
  const rejections = new Map<string, Rejection>();
  const candidates: Candidate[] = [];
  const enough = Math.max(minCandidates, Math.floor(view.nodes.length * candidateShare));
  for (const node of view.nodes) {
    if (candidates.length >= enough) break;
    if (failure.rejections.get(node.name)?.isFinal ?? true) {
      rejections.set(node.name, helpless);
      continue;
    }
    const candidate = tryNode(pod, node, context);
    if (candidate === undefined) rejections.set(node.name, noVictims);
    else candidates.push(candidate);
  }
  const best = candidates.sort(compare)[0];
  if (best !== undefined) return { preemption: best };
  return { message: `0/${view.nodes.length} nodes are available: ${countReasons(rejections.values())}.` };
}

/** Takes all less important pods away and, if that helps, gives back as many as there is room for, the most important first. */
function tryNode(
  pod: PodInfo,
  node: NodeInfo,
  context: {
    readonly finder: NodeFinder;
    readonly view: ClusterView;
    readonly budgets: readonly PodDisruptionBudget[];
  },
): Candidate | undefined {
  const lower = [...node.pods.values()].filter((other) => other.priority < pod.priority);
  if (lower.length === 0) return undefined;
  const trial = node.clone();
  const view = withNode(context.view, trial);
  const fits = () => firstRejection(context.finder.prepareFilters(pod, view), trial) === undefined;
  for (const other of lower) trial.remove(other.uid);
  if (!fits()) return undefined;
  const { violating, others } = splitByBudget(lower.sort(moreImportant), context.budgets);
  const victims: PodInfo[] = [];
  let violations = 0;
  for (const other of [...violating, ...others]) {
    trial.add(other);
    if (fits()) continue;
    trial.remove(other.uid);
    victims.push(other);
    if (violating.includes(other)) violations++;
  }
  return { node: node.name, victims: victims.sort(moreImportant), violations };
}

/** The cluster with one node as it would be. */
function withNode(view: ClusterView, changed: NodeInfo): ClusterView {
  const swap = (node: NodeInfo) => (node.name === changed.name ? changed : node);
  return {
    get nodes() {
      return view.nodes.map(swap);
    },
    get nodesWithAffinity() {
      return [...view.nodesWithAffinity].map(swap);
    },
    nominatedTo: (name) => view.nominatedTo(name),
    findNode: (name) => (name === changed.name ? changed : view.findNode(name)),
    findClaim: (namespace, name) => view.findClaim(namespace, name),
    namespaceLabels: (namespace) => view.namespaceLabels(namespace),
  };
}

/** Those whose eviction a budget does not allow any more are given back first. */
function splitByBudget(pods: readonly PodInfo[], budgets: readonly PodDisruptionBudget[]) {
  const allowed = budgets.map((budget) => budget.status?.disruptionsAllowed ?? 0);
  const selectors = budgets.map((budget) => compileLabelSelector(budget.spec?.selector));
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const pod of pods) {
    let isViolating = false;
    for (const [i, budget] of budgets.entries()) {
      if (budget.metadata?.namespace !== pod.namespace || !matchesSelector(selectors[i]!, pod.pod.metadata?.labels))
        continue;
      if (budget.status?.disruptedPods?.[pod.pod.metadata?.name ?? ""] !== undefined) continue;
      allowed[i]!--;
      isViolating ||= allowed[i]! < 0;
    }
    (isViolating ? violating : others).push(pod);
  }
  return { violating, others };
}

/** Higher priority first, then who has run longer. */
function moreImportant(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startOf(a) - startOf(b);
}

function startOf(pod: PodInfo): number {
  return Date.parse(pod.pod.status?.startTime ?? "") || Number.MAX_SAFE_INTEGER;
}

/** Fewer budgets broken; then less important victims, a smaller sum of importance, fewer victims, and the later start of the most important one. */
function compare(a: Candidate, b: Candidate): number {
  return (
    a.violations - b.violations ||
    highest(a) - highest(b) ||
    sum(a) - sum(b) ||
    a.victims.length - b.victims.length ||
    earliestStart(b) - earliestStart(a)
  );
}

function highest({ victims }: Candidate): number {
  return victims[0]?.priority ?? Number.MIN_SAFE_INTEGER;
}

/** Shifted to positive numbers, so that more victims never look like less. */
function sum({ victims }: Candidate): number {
  return victims.reduce((total, victim) => total + victim.priority + 2 ** 31, 0);
}

function earliestStart(candidate: Candidate): number {
  const top = highest(candidate);
  return Math.min(...candidate.victims.filter((victim) => victim.priority === top).map(startOf));
}
