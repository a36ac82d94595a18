/**
 * What the phases of a pod's worker share: the pod as it is now, its containers, and the two ways to go on: a step, and another look.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { PodRef } from "#kubelet/provider.ts";
import type { EngineParts } from "./engine-parts.ts";
import type { PodContainers } from "./pod-containers.ts";

export type WorkerCore = {
  readonly parts: EngineParts;
  readonly ref: PodRef;
  /** The pod's spec as it was last given. */
  readonly pod: () => Pod;
  readonly containers: PodContainers;
  /** Addresses that the pod has in its sandbox. */
  readonly podIPs: () => readonly string[];
  /** Compares what is with what should be, soon. */
  readonly look: () => void;
  /** Runs a step; its failure is logged, and another look follows in any case. */
  readonly run: (step: () => Promise<void>) => Promise<void>;
  /** The same for one that waits for containers to end, as long as their grace: an agent that stops does not wait for it. */
  readonly runUntilEnded: (step: () => Promise<void>) => Promise<void>;
};
