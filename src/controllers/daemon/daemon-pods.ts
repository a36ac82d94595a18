/**
 * On which nodes a DaemonSet's pods should run, and what they are made of. Pure functions.
 */
import { requiredNodes, tolerates, untoleratedTaint } from "#api/core/node-matching.ts";
import type { DaemonSet } from "#api/generated/types/apps-v1.ts";
import type { Affinity, Node, Pod, PodTemplateSpec, Taint, Toleration } from "#api/generated/types/core-v1.ts";
import { scaledValue } from "#apimachinery/int-or-string.ts";
import { isPodActive, isPodAvailable, podFromTemplate } from "#controllers/common/pods.ts";

export const revisionHashLabel = "controller-revision-hash";

/** Whether a pod should be made for the node, and whether one that runs there may stay. */
export type NodeVerdict = { readonly shouldRun: boolean; readonly mayStay: boolean };

/** Judges a node by the template's node name, selector and affinity, and by taints. */
export function judgeNode(set: DaemonSet, node: Node): NodeVerdict {
  const spec = withDaemonTolerations(set.spec?.template).spec;
  const pod: Pod = spec === undefined ? {} : { spec };
  const isElsewhere = Boolean(spec?.nodeName) && spec?.nodeName !== node.metadata?.name;
  if (isElsewhere || !(requiredNodes(pod)?.(node) ?? true)) return { shouldRun: false, mayStay: false };
  const taints = node.spec?.taints;
  if (untoleratedTaint(taints, spec?.tolerations) === undefined) return { shouldRun: true, mayStay: true };
  const evicting = (taints ?? []).filter((taint) => taint.effect === "NoExecute");
  return { shouldRun: false, mayStay: untoleratedTaint(evicting, spec?.tolerations) === undefined };
}

/** The pod for a node. It goes through the scheduler, but to no other node. */
export function daemonPodFor(set: DaemonSet, nodeName: string, hash: string): Pod {
  const pod = podFromTemplate(withDaemonTolerations(set.spec?.template), set);
  const labels = { ...pod.metadata?.labels, [revisionHashLabel]: hash };
  const affinity = pinnedTo(nodeName, pod.spec?.affinity);
  return { ...pod, metadata: { ...pod.metadata, labels }, spec: { containers: [], ...pod.spec, affinity } };
}

/** The node that a pod runs on, or is meant for. */
export function targetNodeOf(pod: Pod): string | undefined {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  for (const term of terms ?? []) {
    const field = term.matchFields?.find(({ key, operator }) => key === "metadata.name" && operator === "In");
    if (field?.values?.[0] !== undefined) return field.values[0];
  }
  return undefined;
}

function pinnedTo(nodeName: string, affinity: Affinity | undefined): Affinity {
  const matchFields = [{ key: "metadata.name", operator: "In", values: [nodeName] }];
  const required = { nodeSelectorTerms: [{ matchFields }] };
  // The template's own terms were judged already; what is left of them is which node it shall be.
  return {
    ...affinity,
    nodeAffinity: { ...affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: required },
  };
}

/** Daemons stay on nodes in trouble: they may be what mends them. */
function withDaemonTolerations(template: PodTemplateSpec | undefined): PodTemplateSpec {
  const spec = template?.spec;
  if (template === undefined || spec === undefined) return template ?? {};
  const wanted = spec.hostNetwork
    ? [...alwaysTolerated, toleration("network-unavailable", "NoSchedule")]
    : alwaysTolerated;
  const own = spec.tolerations ?? [];
  const missing = wanted.filter(
    (one) => !own.some((other) => tolerates(other, one as Taint) && other.tolerationSeconds === undefined),
  );
  return { ...template, spec: { ...spec, tolerations: [...own, ...missing] } };
}

function toleration(name: string, effect: string): Toleration {
  return { key: `node.kubernetes.io/${name}`, operator: "Exists", effect };
}

const alwaysTolerated: readonly Toleration[] = [
  toleration("not-ready", "NoExecute"),
  toleration("unreachable", "NoExecute"),
  toleration("disk-pressure", "NoSchedule"),
  toleration("memory-pressure", "NoSchedule"),
  toleration("pid-pressure", "NoSchedule"),
  toleration("unschedulable", "NoSchedule"),
];

/** How many nodes may lack a pod, or have two, during a rollout. */
export function updateLimits(
  set: DaemonSet,
  desired: number,
): { readonly maxUnavailable: number; readonly maxSurge: number } {
  const { maxUnavailable = 1, maxSurge = 0 } = set.spec?.updateStrategy?.rollingUpdate ?? {};
  const surge = scaledValue(maxSurge, desired, true);
  const unavailable = scaledValue(maxUnavailable, desired, true);
  // Both zero would stop every rollout.
  return surge === 0 && unavailable === 0
    ? { maxUnavailable: 1, maxSurge: 0 }
    : { maxUnavailable: unavailable, maxSurge: surge };
}

/** The oldest pod of the current revision and the oldest of another one, among those that are not on their way out. */
export function splitByRevision(
  pods: readonly Pod[],
  hash: string,
): { readonly current: Pod | undefined; readonly old: Pod | undefined } {
  const living = oldestFirst(pods.filter(isPodActive));
  const isCurrent = (pod: Pod) => pod.metadata?.labels?.[revisionHashLabel] === hash;
  return { current: living.find(isCurrent), old: living.find((pod) => !isCurrent(pod)) };
}

/** Pods that are bound come before those that are not, then the older. */
export function oldestFirst(pods: readonly Pod[]): readonly Pod[] {
  const created = (pod: Pod) => pod.metadata?.creationTimestamp ?? "";
  return [...pods].sort(
    (a, b) =>
      Number(!a.spec?.nodeName) - Number(!b.spec?.nodeName) ||
      (created(a) < created(b) ? -1 : created(a) > created(b) ? 1 : 0),
  );
}

export function isAvailable(pod: Pod | undefined, set: DaemonSet, nowMs: number): boolean {
  return pod !== undefined && isPodAvailable(pod, set.spec?.minReadySeconds ?? 0, nowMs);
}
