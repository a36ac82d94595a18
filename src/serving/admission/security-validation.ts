/**
 * Validation of security contexts: ids in range, and nothing that gives more rights than the features allow. Rules as upstream's `pkg/apis/serving/k8s_validation.go` (v1.23).
 */
import type { PodSecurityContext, SecurityContext } from "#api/generated/types/core-v1.ts";
import { disallowedFields, type FieldError, outOfBounds, viaField } from "#knative/admission/field-error.ts";
import type { FeaturesConfig } from "#serving/config/features-config.ts";
import { checkMask, fieldMasks } from "./field-masks.ts";

const maxId = 2_147_483_647;

/** What is wrong with a pod's security context. */
export function checkPodSecurityContext(
  context: PodSecurityContext | undefined,
  features: FeaturesConfig,
): readonly FieldError[] {
  if (context === undefined) return [];
  const alsoAllowed = isHardened(features) ? ["seccompProfile"] : [];
  return [
    ...checkMask(context, fieldMasks.PodSecurityContext, features, alsoAllowed),
    ...checkId(context.runAsUser, "runAsUser"),
    ...checkId(context.runAsGroup, "runAsGroup"),
    ...checkId(context.fsGroup, "fsGroup"),
    ...(context.supplementalGroups ?? []).flatMap((id, index) => checkId(id, `supplementalGroups[${index}]`)),
  ];
}

/** Revisions get a strict security context of their own. */
export function isHardened(features: FeaturesConfig): boolean {
  return ["Enabled", "AllowRootBounded"].includes(features["secure-pod-defaults"]);
}

function checkId(id: number | undefined, path: string): readonly FieldError[] {
  return id !== undefined && (id < 0 || id > maxId) ? [outOfBounds(id, 0, maxId, path)] : [];
}

/** What is wrong with a container's security context. */
export function checkSecurityContext(
  context: SecurityContext | undefined,
  features: FeaturesConfig,
): readonly FieldError[] {
  if (context === undefined) return [];
  return [
    ...checkMask(context, fieldMasks.SecurityContext, features),
    ...viaField("capabilities", checkCapabilities(context.capabilities?.add ?? [], features)),
    ...checkId(context.runAsUser, "runAsUser"),
    ...checkId(context.runAsGroup, "runAsGroup"),
  ];
}

function checkCapabilities(add: readonly string[], features: FeaturesConfig): readonly FieldError[] {
  if (add.length === 0 || features["kubernetes.containerspec-addcapabilities"] === "Enabled") return [];
  const isLowPortOnly = add.length === 1 && add[0] === "NET_BIND_SERVICE";
  return isHardened(features) && isLowPortOnly ? [] : [disallowedFields("add")];
}
