/**
 * Keeps pods off nodes that were cordoned, unless they tolerate the taint of the same meaning.
 */
import type { FilterPlugin, Rejection } from "#scheduler/framework.ts";
import { toleratesTaint } from "#api/core/node-matching.ts";

const rejection: Rejection = { reasons: ["node(s) were unschedulable"], isFinal: true };
const taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

export const nodeUnschedulable: FilterPlugin = {
  name: "NodeUnschedulable",
  prepareFilter(pod) {
    if (toleratesTaint(pod.pod.spec?.tolerations, taint)) return undefined;
    return (node) => (node.node.spec?.unschedulable ? rejection : undefined);
  },
  mayHelp(change) {
    return change.kind === "nodeAdded" || (change.kind === "nodeUpdated" && !change.node.spec?.unschedulable);
  },
};
