/**
 * Validation of StatefulSets, DaemonSets and ControllerRevisions. As pkg/apis/apps/validation.
 */
import { isDeepStrictEqual } from "node:util";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import type {
  ControllerRevision,
  DaemonSet,
  DaemonSetUpdateStrategy,
  StatefulSet,
  StatefulSetSpec,
} from "#api/generated/types/apps-v1.ts";
import { immutable } from "#api/core/validation/immutable.ts";
import { dnsLabel, type Errors, nonNegative, oneOf } from "#api/field-rules.ts";
import { amountOf, atMostAll, intOrPercent, validateCounts, validateSelectorAndTemplate } from "./workload-rules.ts";

const retention = ["Delete", "Retain"];
const updatable = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
];

export function validateStatefulSet({ spec }: StatefulSet): Errors {
  if (!spec) return [required("spec.selector"), required("spec.template")];
  const policy = spec.persistentVolumeClaimRetentionPolicy;
  return [
    ...validateManagement(spec),
    ...validateSetStrategy("spec.updateStrategy", spec.updateStrategy),
    ...oneOf("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", policy?.whenDeleted, retention),
    ...oneOf("spec.persistentVolumeClaimRetentionPolicy.whenScaled", policy?.whenScaled, retention),
    ...nonNegative("spec.replicas", spec.replicas),
    ...nonNegative("spec.minReadySeconds", spec.minReadySeconds),
    ...nonNegative("spec.ordinals.start", spec.ordinals?.start),
    ...(spec.serviceName ? dnsLabel("spec.serviceName", spec.serviceName) : []),
    ...validateSelectorAndTemplate(withClaimVolumes(spec), { kind: "StatefulSet", emptyName: "statefulset" }),
  ];
}

export function validateStatefulSetUpdate(set: StatefulSet, old: StatefulSet): Errors {
  const errors: FieldError[] = [...validateStatefulSet(set)];
  const fixed = (spec: StatefulSetSpec | undefined) =>
    Object.fromEntries(Object.entries(spec ?? {}).filter(([key]) => !updatable.includes(key)));
  if (!isDeepStrictEqual(fixed(set.spec), fixed(old.spec))) {
    const list = updatable.map((name) => `'${name}'`);
    errors.push(
      forbiddenField(
        "spec",
        `updates to statefulset spec for fields other than ${list.slice(0, -1).join(", ")} and ${list.at(-1)} are forbidden`,
      ),
    );
  }
  return errors;
}

export function validateStatefulSetStatus({ status }: StatefulSet, old: StatefulSet): Errors {
  const counts = [
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
  ];
  const parts = {
    names: ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
    text: "cannot be greater than status.replicas",
  };
  const errors = validateCounts(status ?? {}, counts, parts);
  return (status?.collisionCount ?? 0) < (old.status?.collisionCount ?? 0)
    ? [...errors, invalid("status.collisionCount", status?.collisionCount ?? 0, "cannot be decremented")]
    : errors;
}

export function validateDaemonSet({ spec }: DaemonSet): Errors {
  if (!spec) return [required("spec.selector"), required("spec.template")];
  return [
    ...validateSelectorAndTemplate(spec, { kind: "DaemonSet", emptyName: "daemonset" }),
    ...nonNegative("spec.minReadySeconds", spec.minReadySeconds),
    ...validateDaemonStrategy("spec.updateStrategy", spec.updateStrategy ?? {}),
    ...nonNegative("spec.revisionHistoryLimit", spec.revisionHistoryLimit),
  ];
}

export function validateDaemonSetUpdate(set: DaemonSet, old: DaemonSet): Errors {
  return [...validateDaemonSet(set), ...immutable("spec.selector", set.spec?.selector, old.spec?.selector)];
}

export function validateControllerRevision({ data, revision }: ControllerRevision): Errors {
  if (data === undefined || data === null) return [required("data", "data is mandatory")];
  if (typeof data !== "object" || Array.isArray(data)) return [required("data", "data must be a valid JSON object")];
  return nonNegative("revision", revision);
}

export function validateControllerRevisionUpdate(revision: ControllerRevision, old: ControllerRevision): Errors {
  return [...nonNegative("revision", revision.revision), ...immutable("data", revision.data, old.data)];
}

/** Every claim template is a volume of the pods, so mounts may name it. */
function withClaimVolumes(spec: StatefulSetSpec): StatefulSetSpec {
  const { template, volumeClaimTemplates = [] } = spec;
  if (volumeClaimTemplates.length === 0 || !template?.spec) return spec;
  const claims = volumeClaimTemplates.map(({ metadata }) => ({
    name: metadata?.name ?? "",
    persistentVolumeClaim: { claimName: metadata?.name ?? "" },
  }));
  const taken = new Set(claims.map(({ name }) => name));
  const volumes = [...(template.spec.volumes ?? []).filter(({ name }) => !taken.has(name)), ...claims];
  return { ...spec, template: { ...template, spec: { ...template.spec, volumes } } };
}

function validateManagement({ podManagementPolicy }: StatefulSetSpec): Errors {
  const field = "spec.podManagementPolicy";
  if (!podManagementPolicy) return [required(field)];
  const isKnown = podManagementPolicy === "OrderedReady" || podManagementPolicy === "Parallel";
  return isKnown ? [] : [invalid(field, podManagementPolicy, "must be 'OrderedReady' or 'Parallel'")];
}

function validateSetStrategy(field: string, strategy: StatefulSetSpec["updateStrategy"] = {}): Errors {
  const { type, rollingUpdate } = strategy;
  if (!type) return [required(field)];
  if (type === "OnDelete") {
    return rollingUpdate
      ? [invalid(`${field}.rollingUpdate`, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")]
      : [];
  }
  if (type !== "RollingUpdate") return [invalid(field, strategy, "must be 'RollingUpdate' or 'OnDelete'")];
  return nonNegative(`${field}.rollingUpdate.partition`, rollingUpdate?.partition);
}

function validateDaemonStrategy(field: string, strategy: DaemonSetUpdateStrategy): Errors {
  const { type, rollingUpdate } = strategy;
  if (type === "OnDelete") return [];
  if (type !== "RollingUpdate") return [notSupported(field, strategy, ["RollingUpdate", "OnDelete"])];
  const path = `${field}.rollingUpdate`;
  if (!rollingUpdate) return [required(path)];
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  const errors: FieldError[] = [
    ...intOrPercent(`${path}.maxUnavailable`, maxUnavailable),
    ...atMostAll(`${path}.maxUnavailable`, maxUnavailable),
    ...intOrPercent(`${path}.maxSurge`, maxSurge),
    ...atMostAll(`${path}.maxSurge`, maxSurge),
  ];
  const [unavailable, surge] = [amountOf(maxUnavailable), amountOf(maxSurge)];
  if (unavailable > 0 && surge > 0)
    errors.push(invalid(`${path}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero"));
  if (unavailable === 0 && surge === 0)
    errors.push(required(`${path}.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  return errors;
}
