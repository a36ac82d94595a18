/**
 * `matchLabelKeys` and `mismatchLabelKeys` of affinities and spreading: at the making of a pod they become requirements with the pod's own values.
 * As pkg/registry/core/pod's mutatePodAffinity and mutateTopologySpreadConstraints.
 */
import { itemsOf } from "#api/defaults.ts";
import type { Draft } from "#api/strategy.ts";

/** Adds the requirements to the spec of a pod with these labels, in place. */
export function mergeLabelKeys(spec: Draft, labels: Readonly<Record<string, string>>): void {
  for (const kind of ["podAffinity", "podAntiAffinity"]) {
    const affinity = spec["affinity"]?.[kind] as Draft | undefined;
    for (const term of itemsOf(affinity?.["requiredDuringSchedulingIgnoredDuringExecution"])) merge(term, labels);
    for (const weighted of itemsOf(affinity?.["preferredDuringSchedulingIgnoredDuringExecution"])) {
      if (weighted["podAffinityTerm"]) merge(weighted["podAffinityTerm"] as Draft, labels);
    }
  }
  for (const constraint of itemsOf(spec["topologySpreadConstraints"])) merge(constraint, labels);
}

function merge(term: Draft, labels: Readonly<Record<string, string>>): void {
  const selector = term["labelSelector"] as Draft | undefined;
  if (!selector) return;
  const requirements = [
    ...((term["matchLabelKeys"] ?? []) as readonly string[]).map((key) => ({ key, operator: "In" })),
    ...((term["mismatchLabelKeys"] ?? []) as readonly string[]).map((key) => ({ key, operator: "NotIn" })),
  ];
  const added = requirements.flatMap(({ key, operator }) =>
    labels[key] === undefined ? [] : [{ key, operator, values: [labels[key]] }],
  );
  if (added.length > 0) selector["matchExpressions"] = [...(selector["matchExpressions"] ?? []), ...added];
}
