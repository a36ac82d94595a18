/**
 * The plugins of the default scheduler, in upstream's order: filters stop at the first that refuses, so the cheap ones come first.
 */
import type { FilterPlugin, ScorePlugin } from "./framework.ts";
import { imageLocality } from "./plugins/image-locality.ts";
import { interPodAffinity } from "./plugins/inter-pod-affinity.ts";
import { nodeAffinity } from "./plugins/node-affinity.ts";
import { nodeName } from "./plugins/node-name.ts";
import { nodePorts } from "./plugins/node-ports.ts";
import { balancedAllocation, nodeResourcesFit } from "./plugins/node-resources.ts";
import { nodeUnschedulable } from "./plugins/node-unschedulable.ts";
import { podTopologySpread } from "./plugins/pod-topology-spread.ts";
import { volumeBinding } from "./plugins/volume-binding.ts";
import { taintToleration } from "./plugins/taint-toleration.ts";

/** Which plugins a scheduler runs. */
export type Profile = { readonly filters: readonly FilterPlugin[]; readonly scores: readonly ScorePlugin[] };

/** The default profile. */
export const defaultProfile: Profile = {
  filters: [
    nodeUnschedulable,
    nodeName,
    taintToleration,
    nodeAffinity,
    nodePorts,
    nodeResourcesFit,
    volumeBinding,
    podTopologySpread,
    interPodAffinity,
  ],
  scores: [
    taintToleration,
    nodeAffinity,
    nodeResourcesFit,
    podTopologySpread,
    interPodAffinity,
    balancedAllocation,
    imageLocality,
  ],
};
