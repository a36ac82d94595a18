/**
 * What a node that runs isolates only says of itself. Pods that ask for one tolerate it by their RuntimeClass.
 */
import type { Taint, Toleration } from "#api/generated/types/core-v1.ts";

/** Keeps other pods away, as taints do on nodes with special hardware. */
export const isolatesOnlyTaint: Taint = {
  key: "nodeless.dev/isolates-only",
  value: "without-root",
  effect: "NoSchedule",
};

/** For the RuntimeClass of isolates. */
export const isolatesOnlyToleration: Toleration = {
  key: isolatesOnlyTaint.key,
  operator: "Exists",
  effect: "NoSchedule",
};
