/**
 * Keeps a pod off nodes where a port that it wants on the node is taken.
 */
import type { FilterPlugin, Rejection } from "#scheduler/framework.ts";
import { conflicts } from "#scheduler/node-info.ts";

const rejection: Rejection = {
  reasons: ["node(s) didn't have free ports for the requested pod ports"],
  isFinal: false,
};

export const nodePorts: FilterPlugin = {
  name: "NodePorts",
  prepareFilter(pod) {
    if (pod.hostPorts.length === 0) return undefined;
    return (node) => (node.hasPortConflict(pod.hostPorts) ? rejection : undefined);
  },
  mayHelp(change, pod) {
    if (change.kind === "nodeAdded") return true;
    if (change.kind !== "podGone") return false;
    return change.pod.hostPorts.some((freed) => pod.hostPorts.some((wanted) => conflicts(freed, wanted)));
  },
};
