/**
 * Roles and ClusterRoles. As pkg/apis/rbac/validation.
 */
import type { ClusterRole, PolicyRule, Role } from "#api/generated/types/rbac-v1.ts";
import { type FieldError, invalid, required } from "#apimachinery/field-error.ts";
import { validateLabelSelector } from "#apimachinery/label-selector.ts";
import type { KindStrategy } from "#api/strategy.ts";

export const roleStrategy: KindStrategy<Role> = {
  nameRule: "path-segment",
  hasNoGeneration: true,
  validate: ({ rules }) => (rules ?? []).flatMap((rule, index) => validateRule(rule, `rules[${index}]`, true)),
};

export const clusterRoleStrategy: KindStrategy<ClusterRole> = {
  nameRule: "path-segment",
  hasNoGeneration: true,
  validate: ({ rules, aggregationRule }) => [
    ...(rules ?? []).flatMap((rule, index) => validateRule(rule, `rules[${index}]`, false)),
    ...(aggregationRule ? validateAggregation(aggregationRule) : []),
  ],
};

function validateRule(rule: PolicyRule, field: string, isNamespaced: boolean): readonly FieldError[] {
  const errors: FieldError[] = [];
  const isEmpty = (list: readonly string[] | undefined) => (list?.length ?? 0) === 0;
  if (isEmpty(rule.verbs)) errors.push(required(`${field}.verbs`, "verbs must contain at least one value"));
  if (!isEmpty(rule.nonResourceURLs)) {
    if (isNamespaced)
      errors.push(
        invalid(`${field}.nonResourceURLs`, rule.nonResourceURLs, "namespaced rules cannot apply to non-resource URLs"),
      );
    if (!isEmpty(rule.apiGroups) || !isEmpty(rule.resources) || !isEmpty(rule.resourceNames)) {
      errors.push(
        invalid(
          `${field}.nonResourceURLs`,
          rule.nonResourceURLs,
          "rules cannot apply to both regular resources and non-resource URLs",
        ),
      );
    }
    return errors;
  }
  if (isEmpty(rule.apiGroups))
    errors.push(required(`${field}.apiGroups`, "resource rules must supply at least one api group"));
  if (isEmpty(rule.resources))
    errors.push(required(`${field}.resources`, "resource rules must supply at least one resource"));
  return errors;
}

function validateAggregation({
  clusterRoleSelectors = [],
}: NonNullable<ClusterRole["aggregationRule"]>): readonly FieldError[] {
  if (clusterRoleSelectors.length === 0) {
    return [
      required(
        "aggregationRule.clusterRoleSelectors",
        "at least one clusterRoleSelector required if aggregationRule is non-nil",
      ),
    ];
  }
  return clusterRoleSelectors.flatMap((selector, index) => [
    ...validateLabelSelector(selector, `aggregationRule.clusterRoleSelectors[${index}]`),
    ...(Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions?.length ?? 0) === 0
      ? [
          invalid(
            `aggregationRule.clusterRoleSelectors[${index}]`,
            selector,
            "empty label selector is invalid for clusterRole aggregation",
          ),
        ]
      : []),
  ]);
}
