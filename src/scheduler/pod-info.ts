/**
 * A pod with everything that scheduling asks of it again and again, worked out once.
 */
import type { Affinity, Pod, PodAffinityTerm } from "#api/generated/types/core-v1.ts";
import { compileLabelSelector, newRequirement } from "#apimachinery/label-selector.ts";
import type { Requirement, Selector } from "#apimachinery/label-selector.ts";
import { keyOf } from "#client/object-store.ts";
import { requestsOf } from "./pod-requests.ts";
import type { Amounts } from "./pod-requests.ts";

/** A port on the node: "0.0.0.0" stands for all addresses. */
export type HostPort = { readonly hostIp: string; readonly protocol: string; readonly port: number };

/** One (anti-)affinity term. `namespaces` are those named; `namespaceSelector` adds namespaces by label. */
export type AffinityTerm = {
  readonly topologyKey: string;
  readonly selector: Selector;
  readonly namespaces: ReadonlySet<string>;
  readonly namespaceSelector: Selector | undefined;
  readonly weight: number;
};

export type PodInfo = {
  readonly pod: Pod;
  /** "namespace/name". */
  readonly key: string;
  readonly uid: string;
  readonly namespace: string;
  readonly priority: number;
  readonly requests: Amounts;
  /** With upstream's defaults for what is not asked for. */
  readonly scoringRequests: Amounts;
  readonly hostPorts: readonly HostPort[];
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly AffinityTerm[];
  readonly preferredAntiAffinity: readonly AffinityTerm[];
};

/** Works a pod out. */
export function podInfoOf(pod: Pod): PodInfo {
  const { podAffinity, podAntiAffinity }: Affinity = pod.spec?.affinity ?? {};
  const required = (term: PodAffinityTerm) => compileTerm(term, pod, 0);
  const preferred = ({
    weight,
    podAffinityTerm,
  }: {
    readonly weight: number;
    readonly podAffinityTerm: PodAffinityTerm;
  }) => compileTerm(podAffinityTerm, pod, weight);
  return {
    pod,
    key: keyOf(pod),
    uid: pod.metadata?.uid ?? "",
    namespace: pod.metadata?.namespace ?? "",
    priority: pod.spec?.priority ?? 0,
    requests: requestsOf(pod, false),
    scoringRequests: requestsOf(pod, true),
    hostPorts: hostPortsOf(pod),
    requiredAffinity: (podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(required),
    requiredAntiAffinity: (podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(required),
    preferredAffinity: (podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(preferred),
    preferredAntiAffinity: (podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(preferred),
  };
}

/** True when the pod has affinity or anti-affinity to other pods. */
export function hasPodAffinity(info: PodInfo): boolean {
  return (
    info.requiredAffinity.length > 0 ||
    info.requiredAntiAffinity.length > 0 ||
    info.preferredAffinity.length > 0 ||
    info.preferredAntiAffinity.length > 0
  );
}

function compileTerm(term: PodAffinityTerm, pod: Pod, weight: number): AffinityTerm {
  const own = term.namespaces === undefined || term.namespaces.length === 0;
  const isOwnNamespace = own && term.namespaceSelector === undefined;
  const labels = pod.metadata?.labels ?? {};
  const extra: Requirement[] = [];
  for (const key of term.matchLabelKeys ?? []) if (key in labels) extra.push(newRequirement(key, "in", [labels[key]!]));
  for (const key of term.mismatchLabelKeys ?? [])
    if (key in labels) extra.push(newRequirement(key, "notin", [labels[key]!]));
  return {
    topologyKey: term.topologyKey,
    selector: withRequirements(compileLabelSelector(term.labelSelector), extra),
    namespaces: new Set(isOwnNamespace ? [pod.metadata?.namespace ?? ""] : (term.namespaces ?? [])),
    namespaceSelector: term.namespaceSelector === undefined ? undefined : compileLabelSelector(term.namespaceSelector),
    weight,
  };
}

/** The selector, narrowed. */
export function withRequirements(selector: Selector, extra: readonly Requirement[]): Selector {
  return extra.length === 0 ? selector : { ...selector, requirements: [...selector.requirements, ...extra] };
}

function hostPortsOf(pod: Pod): readonly HostPort[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === "Always");
  const ports = [...(pod.spec?.containers ?? []), ...sidecars].flatMap((container) => container.ports ?? []);
  return ports
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map((port) => ({ hostIp: port.hostIP || "0.0.0.0", protocol: port.protocol || "TCP", port: port.hostPort! }));
}
