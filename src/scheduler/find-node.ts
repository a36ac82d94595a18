/**
 * Finds the best node for one pod: filters nodes until enough pass, scores those, takes the best. How many are enough, and the messages when none is, as upstream.
 */
import type { Profile } from "./default-plugins.ts";
import type { ClusterView, NodeFilter, Rejection } from "./framework.ts";
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";

/** Smaller clusters are looked through whole. */
const minNodesToFind = 100;
const minPercentage = 5;

/** Where the pod goes, or why it goes nowhere. */
export type Placement = { readonly node: NodeInfo } | { readonly failure: FitFailure };

/** No node passed. */
export type FitFailure = {
  /** "0/3 nodes are available: 3 Insufficient cpu." */
  readonly message: string;
  /** Names of the plugins that refused nodes. */
  readonly rejectedBy: ReadonlySet<string>;
  readonly rejections: ReadonlyMap<string, Rejection>;
};

/** Which plugin refused a node, and why. */
export type Refusal = { readonly plugin: string; readonly rejection: Rejection };

/** One filter of one pod, with the name of its plugin. */
export type PreparedFilter = { readonly plugin: string; readonly check: NodeFilter };

export class NodeFinder {
  readonly #profile: Profile;
  readonly #random: () => number;
  /** Where the last search ended: the next one goes on there, so that all nodes get their turn. */
  #startIndex = 0;

  constructor(profile: Profile, random: () => number) {
    this.#profile = profile;
    this.#random = random;
  }

  /** The best node for the pod. */
  find(pod: PodInfo, view: ClusterView): Placement {
    const refusal = this.#refusalOfAll(pod, view);
    if (refusal !== undefined) return { failure: refusal };
    const { feasible, rejections, rejectedBy } = this.#feasibleNodes(pod, view);
    if (feasible.length === 0) {
      return { failure: { message: failureMessage(view.nodes.length, rejections), rejectedBy, rejections } };
    }
    return { node: feasible.length === 1 ? feasible[0]! : this.#best(pod, view, feasible) };
  }

  /** The failure of a pod for which it is of no use to look at nodes. */
  #refusalOfAll(pod: PodInfo, view: ClusterView): FitFailure | undefined {
    for (const plugin of this.#profile.filters) {
      const why = plugin.refusePod?.(pod, view);
      if (why === undefined) continue;
      const rejection: Rejection = { reasons: [why], isFinal: true };
      const rejections = new Map(view.nodes.map(({ name }) => [name, rejection]));
      // No counts: it is said of the pod, not of nodes.
      const message = `0/${view.nodes.length} nodes are available: ${why}.`;
      const isEmpty = view.nodes.length === 0;
      return {
        message: isEmpty ? failureMessage(0, rejections) : message,
        rejectedBy: new Set([plugin.name]),
        rejections,
      };
    }
    return undefined;
  }

  /** The pod's filters; those that let every node pass are left out. */
  prepareFilters(pod: PodInfo, view: ClusterView): readonly PreparedFilter[] {
    const prepared: PreparedFilter[] = [];
    for (const plugin of this.#profile.filters) {
      const check = plugin.prepareFilter(pod, view);
      if (check !== undefined) prepared.push({ plugin: plugin.name, check });
    }
    return prepared;
  }

  #feasibleNodes(pod: PodInfo, view: ClusterView) {
    const filters = this.prepareFilters(pod, view);
    const candidates = this.#candidates(pod, view);
    const enough = nodesToFind(candidates.length);
    const feasible: NodeInfo[] = [];
    const rejections = new Map<string, Rejection>();
    const rejectedBy = new Set<string>();
    const nominated = pod.pod.status?.nominatedNodeName;
    if (nominated) {
      const node = view.findNode(nominated);
      if (node !== undefined && firstRejection(filters, node) === undefined)
        return { feasible: [node], rejections, rejectedBy };
    }
    let looked = 0;
    for (; looked < candidates.length && feasible.length < enough; looked++) {
      const node = candidates[(this.#startIndex + looked) % candidates.length]!;
      const refusal = this.#judge(pod, filters, node, view);
      if (refusal === undefined) feasible.push(node);
      else {
        rejections.set(node.name, refusal.rejection);
        rejectedBy.add(refusal.plugin);
      }
    }
    if (candidates === view.nodes && candidates.length > 0)
      this.#startIndex = (this.#startIndex + looked) % candidates.length;
    if (candidates !== view.nodes && feasible.length === 0) this.#rejectOthers(view, rejections, rejectedBy);
    return { feasible, rejections, rejectedBy };
  }

  /** Room that was made for a pod at least as important is not free: the node must do with that pod on it too. */
  #judge(pod: PodInfo, filters: readonly PreparedFilter[], node: NodeInfo, view: ClusterView): Refusal | undefined {
    const promised = view
      .nominatedTo(node.name)
      .filter((other) => other.uid !== pod.uid && other.priority >= pod.priority);
    if (promised.length === 0) return firstRejection(filters, node);
    const full = node.clone();
    for (const other of promised) full.add(other);
    return firstRejection(filters, full) ?? firstRejection(filters, node);
  }

  #candidates(pod: PodInfo, view: ClusterView): readonly NodeInfo[] {
    for (const plugin of this.#profile.filters) {
      const names = plugin.namedNodes?.(pod);
      if (names !== undefined)
        return [...names].map((name) => view.findNode(name)).filter((node) => node !== undefined);
    }
    return view.nodes;
  }

  /** A pod for certain nodes only was not tried on the others, but people are told about them too. */
  #rejectOthers(view: ClusterView, rejections: Map<string, Rejection>, rejectedBy: Set<string>): void {
    const rejection = { reasons: ["node(s) didn't satisfy plugin(s) [NodeAffinity]"], isFinal: true };
    for (const node of view.nodes) if (!rejections.has(node.name)) rejections.set(node.name, rejection);
    rejectedBy.add("NodeAffinity");
  }

  #best(pod: PodInfo, view: ClusterView, feasible: readonly NodeInfo[]): NodeInfo {
    const totals = new Float64Array(feasible.length);
    const scores = new Float64Array(feasible.length);
    for (const plugin of this.#profile.scores) {
      const scorer = plugin.prepareScore(pod, view, feasible);
      if (scorer === undefined) continue;
      for (let i = 0; i < feasible.length; i++) scores[i] = scorer.score(feasible[i]!);
      scorer.normalize?.(scores);
      for (let i = 0; i < feasible.length; i++) totals[i]! += scores[i]! * plugin.weight;
    }
    return feasible[this.#indexOfHighest(totals)]!;
  }

  /** Of several equally good ones, any: or all pods of a quiet moment would go to the first. */
  #indexOfHighest(totals: Float64Array): number {
    let [best, ties] = [0, 1];
    for (let i = 1; i < totals.length; i++) {
      if (totals[i]! > totals[best]!) [best, ties] = [i, 1];
      else if (totals[i] === totals[best] && this.#random() < 1 / ++ties) best = i;
    }
    return best;
  }
}

/** The first filter that refuses the node, and why. */
export function firstRejection(filters: readonly PreparedFilter[], node: NodeInfo): Refusal | undefined {
  for (const { plugin, check } of filters) {
    const rejection = check(node);
    if (rejection !== undefined) return { plugin, rejection };
  }
  return undefined;
}

/** How many passing nodes are enough: all of 100, half of 101, 10 % of 5,000, never under 5 %. */
export function nodesToFind(count: number): number {
  if (count < minNodesToFind) return count;
  const percentage = Math.max(minPercentage, 50 - Math.floor(count / 125));
  return Math.max(minNodesToFind, Math.floor((count * percentage) / 100));
}

/** "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." */
export function failureMessage(nodeCount: number, rejections: ReadonlyMap<string, Rejection>): string {
  if (nodeCount === 0) return "no nodes available to schedule pods";
  return `0/${nodeCount} nodes are available: ${countReasons(rejections.values())}.`;
}

/** "1 Insufficient cpu, 2 node(s) were unschedulable" */
export function countReasons(rejections: Iterable<Rejection>): string {
  const counts = new Map<string, number>();
  for (const { reasons } of rejections) for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const texts = [...counts].map(([reason, count]) => `${count} ${reason}`);
  return texts.sort().join(", ");
}
