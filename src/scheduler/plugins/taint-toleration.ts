/**
 * Keeps pods off nodes with taints that they don't tolerate, and away from those that prefer not to have them.
 */
import type { FilterPlugin, Rejection, ScorePlugin } from "#scheduler/framework.ts";
import { normalizeByHighest } from "#scheduler/framework.ts";
import { toleratesTaint, untoleratedTaint } from "#api/core/node-matching.ts";

const rejection: Rejection = { reasons: ["node(s) had untolerated taint(s)"], isFinal: true };

export const taintToleration: FilterPlugin & ScorePlugin = {
  name: "TaintToleration",
  weight: 3,
  prepareFilter(pod) {
    const tolerations = pod.pod.spec?.tolerations;
    return (node) => {
      const taints = node.node.spec?.taints;
      return taints !== undefined && untoleratedTaint(taints, tolerations) !== undefined ? rejection : undefined;
    };
  },
  mayHelp(change, pod) {
    if (change.kind !== "nodeAdded" && change.kind !== "nodeUpdated") return false;
    return untoleratedTaint(change.node.spec?.taints, pod.pod.spec?.tolerations) === undefined;
  },
  prepareScore(pod, _view, feasible) {
    const isPreferred = (taint: { readonly effect: string }) => taint.effect === "PreferNoSchedule";
    if (!feasible.some((node) => node.node.spec?.taints?.some(isPreferred))) return undefined;
    const tolerations = (pod.pod.spec?.tolerations ?? []).filter(
      ({ effect }) => !effect || effect === "PreferNoSchedule",
    );
    return {
      score: (node) =>
        (node.node.spec?.taints ?? []).filter((taint) => isPreferred(taint) && !toleratesTaint(tolerations, taint))
          .length,
      normalize: (scores) => normalizeByHighest(scores, true),
    };
  },
};
