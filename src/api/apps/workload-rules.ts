/**
 * Rules that workloads share: selectors and templates that fit together, numbers or percentages, fields that never change.
 */
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import { type LabelSelector, matchesLabelSelector, validateLabelSelector } from "#apimachinery/label-selector.ts";
import { isValidPercent } from "#apimachinery/names.ts";
import type { PodTemplateSpec } from "#api/generated/types/core-v1.ts";
import { validatePodTemplate } from "#api/core/validation/pod-spec.ts";
import { type Errors, nonNegative } from "#api/field-rules.ts";

type IntOrString = number | string;

/** Selector and template of a workload whose pods run until they are deleted. `kind` stands in messages, `emptyName` in that of an empty selector. */
export function validateSelectorAndTemplate(
  { selector, template }: { readonly selector?: LabelSelector; readonly template?: PodTemplateSpec },
  names: { readonly kind: string; readonly emptyName: string },
): Errors {
  const errors: FieldError[] = [];
  if (!selector) errors.push(required("spec.selector"));
  else {
    errors.push(...validateLabelSelector(selector, "spec.selector"));
    if (errors.length > 0 && names.kind === "ReplicaSet") {
      return [...errors, invalid("spec.selector", selector, "invalid label selector")];
    }
    if (isEmptySelector(selector))
      errors.push(invalid("spec.selector", selector, `empty selector is invalid for ${names.emptyName}`));
  }
  if (!template) return [...errors, required("spec.template")];
  const labels = template.metadata?.labels;
  if (errors.length === 0 && !matchesLabelSelector(selector, labels)) {
    errors.push(
      invalid("spec.template.metadata.labels", labels ?? null, "`selector` does not match template `labels`"),
    );
  }
  errors.push(...validatePodTemplate("spec.template", template));
  const { restartPolicy, activeDeadlineSeconds } = template.spec ?? {};
  if (restartPolicy !== "Always")
    errors.push(notSupported("spec.template.spec.restartPolicy", restartPolicy ?? "", ["Always"]));
  if (activeDeadlineSeconds !== undefined) {
    errors.push(
      forbiddenField(
        "spec.template.spec.activeDeadlineSeconds",
        `activeDeadlineSeconds in ${names.kind} is not Supported`,
      ),
    );
  }
  return errors;
}

/** A number that is not negative, or a percentage. */
export function intOrPercent(field: string, value: IntOrString): Errors {
  if (typeof value === "number") return nonNegative(field, value);
  return isValidPercent(value).map((detail) => invalid(field, value, detail));
}

/** At most all of them. */
export function atMostAll(field: string, value: IntOrString): Errors {
  const percent = percentOf(value);
  return percent !== undefined && percent > 100 ? [invalid(field, value, "must not be greater than 100%")] : [];
}

/** The number or the percentage, whichever it is. */
export function amountOf(value: IntOrString | undefined): number {
  if (value === undefined) return 0;
  return percentOf(value) ?? (typeof value === "number" ? value : 0);
}

/** Counts of a status: none negative, and none of `parts` above `replicas`. */
export function validateCounts(
  status: Readonly<Record<string, unknown>>,
  names: readonly string[],
  parts: { readonly names: readonly string[]; readonly text: string },
): Errors {
  const count = (name: string) => (status[name] as number | undefined) ?? 0;
  const replicas = count("replicas");
  const errors = [
    ...names.flatMap((name) => nonNegative(`status.${name}`, count(name))),
    ...parts.names
      .filter((name) => count(name) > replicas)
      .map((name) => invalid(`status.${name}`, count(name), parts.text)),
  ];
  const isAhead = count("availableReplicas") > count("readyReplicas");
  return isAhead
    ? [
        ...errors,
        invalid("status.availableReplicas", count("availableReplicas"), "cannot be greater than readyReplicas"),
      ]
    : errors;
}

function isEmptySelector({ matchLabels, matchExpressions }: LabelSelector): boolean {
  return Object.keys(matchLabels ?? {}).length + (matchExpressions?.length ?? 0) === 0;
}

function percentOf(value: IntOrString): number | undefined {
  return typeof value === "string" && isValidPercent(value).length === 0 ? Number(value.slice(0, -1)) : undefined;
}
