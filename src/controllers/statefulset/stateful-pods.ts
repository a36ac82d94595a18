/**
 * The pods of a StatefulSet: named by their ordinal, each with its own host name and its own claims of storage. Pure functions.
 */
import type { StatefulSet } from "#api/generated/types/apps-v1.ts";
import type { PersistentVolumeClaim, Pod, PodTemplateSpec, Volume } from "#api/generated/types/core-v1.ts";
import { isPodAvailable, isPodReady, isPodTerminating, podFromTemplate } from "#controllers/common/pods.ts";
import { controllerReference } from "#apimachinery/owner-references.ts";

export const revisionLabel = "controller-revision-hash";
const podNameLabel = "statefulset.kubernetes.io/pod-name";
const podIndexLabel = "apps.kubernetes.io/pod-index";

/** The number at the end of the pod's name; undefined for pods that are not of this set by name. */
export function ordinalOf(pod: Pod, set: StatefulSet): number | undefined {
  const match = /^(.*)-(\d+)$/.exec(pod.metadata?.name ?? "");
  return match?.[1] === set.metadata?.name ? Number(match?.[2]) : undefined;
}

/** The ordinals that the set should have. */
export function wantedOrdinals(set: StatefulSet): readonly number[] {
  const start = set.spec?.ordinals?.start ?? 0;
  return Array.from({ length: set.spec?.replicas ?? 1 }, (_, nth) => start + nth);
}

/** The pod of an ordinal, made from a revision's template. */
export function podFor(set: StatefulSet, ordinal: number, template: PodTemplateSpec, revisionName: string): Pod {
  const name = `${set.metadata?.name}-${ordinal}`;
  const pod = podFromTemplate(template, set, { name });
  const claims = claimsFor(set, ordinal, pod);
  const volumes: Volume[] = claims.map(({ template: volume, claim }) => ({
    name: volume,
    persistentVolumeClaim: { claimName: claim.metadata?.name ?? "" },
  }));
  const others = (pod.spec?.volumes ?? []).filter((volume) => !volumes.some((one) => one.name === volume.name));
  const labels = { ...pod.metadata?.labels, ...identityLabels(name, ordinal), [revisionLabel]: revisionName };
  const all = [...volumes, ...others];
  return {
    ...pod,
    metadata: { ...pod.metadata, labels },
    spec: {
      containers: [],
      ...pod.spec,
      hostname: name,
      ...(set.spec?.serviceName ? { subdomain: set.spec.serviceName } : {}),
      ...(all.length === 0 ? {} : { volumes: all }),
    },
  };
}

/** Labels that every pod of the set must keep. */
export function identityLabels(name: string, ordinal: number): Readonly<Record<string, string>> {
  return { [podNameLabel]: name, [podIndexLabel]: String(ordinal) };
}

/** The claims of an ordinal, with the names of the templates that they come from. */
export function claimsFor(
  set: StatefulSet,
  ordinal: number,
  pod: Pod,
): readonly { readonly template: string; readonly claim: PersistentVolumeClaim }[] {
  const policy = set.spec?.persistentVolumeClaimRetentionPolicy;
  const goesWithSet = policy?.whenDeleted === "Delete";
  return (set.spec?.volumeClaimTemplates ?? []).map((template) => {
    const { name: templateName = "", labels, ...metadata } = template.metadata ?? {};
    const claim: PersistentVolumeClaim = {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: {
        ...metadata,
        name: `${templateName}-${set.metadata?.name}-${ordinal}`,
        namespace: pod.metadata?.namespace ?? "",
        labels: { ...labels, ...set.spec?.selector?.matchLabels },
        ...(goesWithSet ? { ownerReferences: [controllerReference(set)] } : {}),
      },
      ...(template.spec === undefined ? {} : { spec: template.spec }),
    };
    return { template: templateName, claim };
  });
}

export function revisionOf(pod: Pod): string {
  return pod.metadata?.labels?.[revisionLabel] ?? "";
}

export function isRunningAndReady(pod: Pod): boolean {
  return pod.status?.phase === "Running" && isPodReady(pod);
}

/** Not available for long enough, or on its way out. */
export function isUnavailable(pod: Pod, set: StatefulSet, nowMs: number): boolean {
  return (
    isPodTerminating(pod) || !isRunningAndReady(pod) || !isPodAvailable(pod, set.spec?.minReadySeconds ?? 0, nowMs)
  );
}
