/**
 * Validation of Deployments and ReplicaSets. As pkg/apis/apps/validation.
 */
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import type { Deployment, DeploymentStrategy, ReplicaSet } from "#api/generated/types/apps-v1.ts";
import { immutable } from "#api/core/validation/immutable.ts";
import { type Errors, nonNegative } from "#api/field-rules.ts";
import { amountOf, atMostAll, intOrPercent, validateCounts, validateSelectorAndTemplate } from "./workload-rules.ts";

const names = { kind: "ReplicaSet", emptyName: "deployment" };

export function validateDeployment({ spec }: Deployment): Errors {
  if (!spec) return [required("spec.selector"), required("spec.template")];
  const { progressDeadlineSeconds, minReadySeconds = 0 } = spec;
  const errors: FieldError[] = [
    ...nonNegative("spec.replicas", spec.replicas),
    ...validateSelectorAndTemplate(spec, names),
    ...validateStrategy("spec.strategy", spec.strategy ?? {}),
    ...nonNegative("spec.minReadySeconds", minReadySeconds),
    ...nonNegative("spec.revisionHistoryLimit", spec.revisionHistoryLimit),
    ...nonNegative("spec.progressDeadlineSeconds", progressDeadlineSeconds),
  ];
  if (progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds) {
    errors.push(
      invalid("spec.progressDeadlineSeconds", progressDeadlineSeconds, "must be greater than minReadySeconds"),
    );
  }
  return errors;
}

export function validateDeploymentUpdate(deployment: Deployment, old: Deployment): Errors {
  return [
    ...validateDeployment(deployment),
    ...immutable("spec.selector", deployment.spec?.selector, old.spec?.selector),
  ];
}

export function validateDeploymentStatus({ status = {} }: Deployment, old: Deployment): Errors {
  const counts = [
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
  ];
  const parts = {
    names: ["updatedReplicas", "readyReplicas", "availableReplicas"],
    text: "cannot be greater than status.replicas",
  };
  const errors = validateCounts(status, counts, parts);
  return (status.collisionCount ?? 0) < (old.status?.collisionCount ?? 0)
    ? [...errors, invalid("status.collisionCount", status.collisionCount ?? 0, "cannot be decremented")]
    : errors;
}

export function validateReplicaSet({ spec }: ReplicaSet): Errors {
  if (!spec) return [required("spec.selector"), required("spec.template")];
  return [
    ...nonNegative("spec.replicas", spec.replicas),
    ...nonNegative("spec.minReadySeconds", spec.minReadySeconds),
    ...validateSelectorAndTemplate(spec, names),
  ];
}

export function validateReplicaSetUpdate(set: ReplicaSet, old: ReplicaSet): Errors {
  return [...validateReplicaSet(set), ...immutable("spec.selector", set.spec?.selector, old.spec?.selector)];
}

export function validateReplicaSetStatus({ status }: ReplicaSet): Errors {
  const counts = [
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "observedGeneration",
    "terminatingReplicas",
  ];
  const parts = {
    names: ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
    text: "cannot be greater than status.replicas",
  };
  return validateCounts(status ?? {}, counts, parts);
}

function validateStrategy(field: string, strategy: DeploymentStrategy): Errors {
  const { type, rollingUpdate } = strategy;
  if (type === "Recreate") {
    return rollingUpdate
      ? [forbiddenField(`${field}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")]
      : [];
  }
  if (type !== "RollingUpdate") return [notSupported(field, strategy, ["Recreate", "RollingUpdate"])];
  if (!rollingUpdate) return [required(`${field}.rollingUpdate`, "this should be defaulted and never be nil")];
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  const path = `${field}.rollingUpdate.maxUnavailable`;
  const errors: FieldError[] = [
    ...intOrPercent(path, maxUnavailable),
    ...intOrPercent(`${field}.rollingUpdate.maxSurge`, maxSurge),
  ];
  if (amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0) {
    errors.push(invalid(path, maxUnavailable, "may not be 0 when `maxSurge` is 0"));
  }
  return [...errors, ...atMostAll(path, maxUnavailable)];
}
