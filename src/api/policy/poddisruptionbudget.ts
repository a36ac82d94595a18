/**
 * PodDisruptionBudgets. As pkg/apis/policy/validation and pkg/registry/policy/poddisruptionbudget/strategy.go.
 */
import type { PodDisruptionBudget } from "#api/generated/types/policy-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateIntOrPercent, validateNonNegative, validateSupported } from "#api/validation.ts";
import { type FieldError, invalid } from "#apimachinery/field-error.ts";
import { validateLabelSelector } from "#apimachinery/label-selector.ts";

export const podDisruptionBudgetStrategy: KindStrategy<PodDisruptionBudget> = {
  allowsUnconditionalUpdate: false,
  prepareForCreate(draft) {
    draft["status"] = { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 };
  },
  validate,
  validateUpdate: validate,
  validateStatusUpdate: ({ status }) => [
    ...validateNonNegative("status.disruptionsAllowed", status?.disruptionsAllowed),
    ...validateNonNegative("status.currentHealthy", status?.currentHealthy),
    ...validateNonNegative("status.desiredHealthy", status?.desiredHealthy),
    ...validateNonNegative("status.expectedPods", status?.expectedPods),
  ],
};

function validate({ spec = {} }: PodDisruptionBudget): readonly FieldError[] {
  const { minAvailable, maxUnavailable, selector, unhealthyPodEvictionPolicy } = spec;
  const hasBoth = minAvailable !== undefined && maxUnavailable !== undefined;
  return [
    ...(hasBoth ? [invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")] : []),
    ...validateIntOrPercent("spec.minAvailable", minAvailable),
    ...validateIntOrPercent("spec.maxUnavailable", maxUnavailable),
    ...validateLabelSelector(selector, "spec.selector"),
    ...validateSupported("spec.unhealthyPodEvictionPolicy", unhealthyPodEvictionPolicy, [
      "AlwaysAllow",
      "IfHealthyBudget",
    ]),
  ];
}
