/**
 * nodeSelector and node affinity: nodes that a pod requires, and nodes that it prefers.
 */
import type { FilterPlugin, Rejection, ScorePlugin } from "#scheduler/framework.ts";
import { normalizeByHighest } from "#scheduler/framework.ts";
import { namedNodes, preferredNodes, requiredNodes } from "#api/core/node-matching.ts";

const rejection: Rejection = { reasons: ["node(s) didn't match Pod's node affinity/selector"], isFinal: true };

export const nodeAffinity: FilterPlugin & ScorePlugin = {
  name: "NodeAffinity",
  weight: 2,
  namedNodes: (pod) => namedNodes(pod.pod),
  prepareFilter(pod) {
    const matches = requiredNodes(pod.pod);
    return matches && ((node) => (matches(node.node) ? undefined : rejection));
  },
  mayHelp(change, pod) {
    if (change.kind !== "nodeAdded" && change.kind !== "nodeUpdated") return false;
    return requiredNodes(pod.pod)?.(change.node) ?? true;
  },
  prepareScore(pod) {
    const terms = preferredNodes(pod.pod);
    if (terms.length === 0) return undefined;
    return {
      score: (node) => terms.reduce((sum, { weight, matches }) => sum + (matches(node.node) ? weight : 0), 0),
      normalize: (scores) => normalizeByHighest(scores, false),
    };
  },
};
