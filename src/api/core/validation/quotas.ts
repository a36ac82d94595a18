/**
 * LimitRanges and ResourceQuotas. As pkg/apis/core/validation.
 */
import { type FieldError, duplicate, forbiddenField, invalid, notSupported } from "#apimachinery/field-error.ts";
import type { LimitRange, LimitRangeItem, ResourceQuota } from "#api/generated/types/core-v1.ts";
import { isQualifiedName } from "#apimachinery/names.ts";
import { compareQuantities, formatQuantity, isQuantity, parseQuantity } from "#apimachinery/quantity.ts";
import { check, type Errors } from "#api/field-rules.ts";
import { immutable } from "./immutable.ts";
import { isHugePages, validateAmounts, validateResourceName } from "./resources.ts";

const scopes = [
  "BestEffort",
  "CrossNamespacePodAffinity",
  "NotBestEffort",
  "NotTerminating",
  "PriorityClass",
  "Terminating",
  "VolumeAttributesClass",
];
const podScopes = ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating"];
const podCounts = ["pods"];
const computeAmounts = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
/** What a quota of the scope can bound. */
const amountsByScope: Readonly<Record<string, readonly string[]>> = {
  BestEffort: podCounts,
  CrossNamespacePodAffinity: [...podCounts, ...computeAmounts],
  NotBestEffort: [...podCounts, ...computeAmounts],
  NotTerminating: [...podCounts, ...computeAmounts],
  PriorityClass: [...podCounts, ...computeAmounts],
  Terminating: [...podCounts, ...computeAmounts],
  VolumeAttributesClass: ["persistentvolumeclaims", "requests.storage"],
};
const quotaResources = new Set([
  ...podCounts,
  ...computeAmounts,
  "configmaps",
  "ephemeral-storage",
  "limits.ephemeral-storage",
  "persistentvolumeclaims",
  "replicationcontrollers",
  "requests.ephemeral-storage",
  "requests.storage",
  "resourcequotas",
  "secrets",
  "services",
  "services.loadbalancers",
  "services.nodeports",
]);
const limitTypes = ["Pod", "Container", "PersistentVolumeClaim"];
const bounds = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;

export function validateLimitRange({ spec }: LimitRange): Errors {
  const seen = new Set<string>();
  return (spec?.limits ?? []).flatMap((limit, index) => {
    const path = `spec.limits[${index}]`;
    const errors: FieldError[] = [...validateLimitType(`${path}.type`, limit.type)];
    if (seen.has(limit.type)) errors.push(duplicate(`${path}.type`, limit.type));
    seen.add(limit.type);
    for (const key of bounds)
      errors.push(
        ...validateAmounts(`${path}.${key}`, limit[key] ?? {}, (field, name) => check(field, name, isQualifiedName)),
      );
    if (limit.type === "Pod") {
      for (const key of ["default", "defaultRequest"] as const) {
        if (Object.keys(limit[key] ?? {}).length > 0)
          errors.push(forbiddenField(`${path}.${key}`, "may not be specified when `type` is 'Pod'"));
      }
    }
    return [...errors, ...validateOrder(path, limit)];
  });
}

function validateLimitType(field: string, type: string): Errors {
  const errors = check(field, type, isQualifiedName);
  if (errors.length > 0 || type.includes("/") || limitTypes.includes(type)) return errors;
  return [invalid(field, type, "must be a standard limit type or fully qualified")];
}

function validateQuotaResourceName(field: string, name: string): Errors {
  const errors = validateResourceName(field, name);
  if (name.includes("/") || isQuotaResource(name)) return errors;
  return [...errors, invalid(field, name, "must be a standard resource for quota")];
}

function isQuotaResource(name: string): boolean {
  return quotaResources.has(name) || isHugePages(name.replace(/^requests\./, ""));
}

/** Standard resources of the quota that the scope says nothing about. */
function strangersTo(scope: string, hard: readonly string[]): readonly string[] {
  const known = amountsByScope[scope];
  return known === undefined ? [] : hard.filter((name) => isQuotaResource(name) && !known.includes(name));
}

export function validateResourceQuota({ spec }: ResourceQuota): Errors {
  const hard = validateAmounts("spec.hard", spec?.hard ?? {}, validateQuotaResourceName);
  const names = Object.keys(spec?.hard ?? {});
  const given = spec?.scopes ?? [];
  const errors: FieldError[] = given.flatMap((scope) => [
    ...(scopes.includes(scope) ? [] : [invalid("spec.scopes", given, "unsupported scope")]),
    ...strangersTo(scope, names).map(() => invalid("spec.scopes", given, "unsupported scope applied to resource")),
  ]);
  for (const [left, right] of [
    ["BestEffort", "NotBestEffort"],
    ["Terminating", "NotTerminating"],
  ] as const) {
    if (given.includes(left) && given.includes(right)) errors.push(invalid("spec.scopes", given, "conflicting scopes"));
  }
  for (const [index, { scopeName, operator, values }] of (spec?.scopeSelector?.matchExpressions ?? []).entries()) {
    const path = `spec.scopeSelector.matchExpressions[${index}]`;
    if (!scopes.includes(scopeName)) errors.push(invalid(`${path}.scopeName`, scopeName, "unsupported scope"));
    for (const _ of strangersTo(scopeName, names)) {
      const field = "spec.scopeSelector.matchExpressions";
      errors.push(invalid(field, spec?.scopeSelector, "unsupported scope applied to resource"));
    }
    if (podScopes.includes(scopeName) && operator !== "Exists") {
      errors.push(
        invalid(
          `${path}.operator`,
          operator,
          "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        ),
      );
    }
    const needsValues = operator === "In" || operator === "NotIn";
    if (needsValues && !values?.length)
      errors.push({
        type: "FieldValueRequired",
        field: `${path}.values`,
        message: "Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
      });
    if (!needsValues && values?.length)
      errors.push(
        invalid(
          `${path}.values`,
          values,
          "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        ),
      );
    if (!["In", "NotIn", "Exists", "DoesNotExist"].includes(operator))
      errors.push(notSupported(`${path}.operator`, operator, ["In", "NotIn", "Exists", "DoesNotExist"]));
  }
  return [...hard, ...errors];
}

export function validateResourceQuotaUpdate(quota: ResourceQuota, old: ResourceQuota): Errors {
  const sorted = ({ spec }: ResourceQuota) => [...(spec?.scopes ?? [])].sort();
  return [...validateResourceQuota(quota), ...immutable("spec.scopes", sorted(quota), sorted(old))];
}

/** min ≤ defaultRequest ≤ default ≤ max, wherever two of them are said. */
function validateOrder(path: string, limit: LimitRangeItem): Errors {
  const names = new Set(bounds.flatMap((key) => Object.keys(limit[key] ?? {})));
  const pairs = [
    ["min", "max"],
    ["defaultRequest", "default"],
    ["min", "defaultRequest"],
    ["min", "default"],
    ["defaultRequest", "max"],
    ["default", "max"],
  ] as const;
  return [...names].flatMap((name) =>
    pairs.flatMap(([low, high]) => {
      const [left, right] = [limit[low]?.[name], limit[high]?.[name]];
      if (left === undefined || right === undefined || !isQuantity(left) || !isQuantity(right)) return [];
      if (compareQuantities(parseQuantity(left), parseQuantity(right)) <= 0) return [];
      const text = (amount: string) => formatQuantity(parseQuantity(amount));
      const says = {
        min: "min value",
        max: "max value",
        default: "default value",
        defaultRequest: "default request value",
      };
      return [
        invalid(
          `${path}.${low}[${name}]`,
          text(left),
          `${says[low]} ${text(left)} is greater than ${says[high]} ${text(right)}`,
        ),
      ];
    }),
  );
}
