/**
 * A pod that names its node runs there or nowhere.
 */
import type { FilterPlugin, Rejection } from "#scheduler/framework.ts";

const rejection: Rejection = { reasons: ["node(s) didn't match the requested node name"], isFinal: true };

export const nodeName: FilterPlugin = {
  name: "NodeName",
  prepareFilter(pod) {
    const wanted = pod.pod.spec?.nodeName;
    return wanted ? (node) => (node.name === wanted ? undefined : rejection) : undefined;
  },
  mayHelp: (change, pod) => change.kind === "nodeAdded" && change.node.metadata?.name === pod.pod.spec?.nodeName,
};
