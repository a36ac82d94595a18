/**
 * ReplicationControllers: their selector is a plain map of labels.
 */
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import type { ReplicationController } from "#api/generated/types/core-v1.ts";
import { matchesLabels, validateLabels } from "#apimachinery/label-selector.ts";
import { type Errors, nonNegative } from "#api/field-rules.ts";
import { validatePodTemplate } from "./pod-spec.ts";

export function validateReplicationController({ spec }: ReplicationController): Errors {
  const { selector = {}, template, replicas, minReadySeconds } = spec ?? {};
  const errors: FieldError[] = [
    ...nonNegative("spec.minReadySeconds", minReadySeconds),
    ...validateLabels(selector, "spec.selector"),
  ];
  if (Object.keys(selector).length === 0) errors.push(required("spec.selector"));
  errors.push(...nonNegative("spec.replicas", replicas));
  if (!template) return [...errors, required("spec.template")];
  const labels = template.metadata?.labels;
  if (!matchesLabels(selector, labels)) {
    errors.push(
      invalid("spec.template.metadata.labels", labels ?? null, "`selector` does not match template `labels`"),
    );
  }
  errors.push(...validatePodTemplate("spec.template", template));
  const { restartPolicy, activeDeadlineSeconds } = template.spec ?? {};
  if (restartPolicy !== "Always")
    errors.push(notSupported("spec.template.spec.restartPolicy", restartPolicy ?? "", ["Always"]));
  if (activeDeadlineSeconds === undefined) return errors;
  return [
    ...errors,
    forbiddenField(
      "spec.template.spec.activeDeadlineSeconds",
      "activeDeadlineSeconds in ReplicationController is not Supported",
    ),
  ];
}
