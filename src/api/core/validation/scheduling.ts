/**
 * What of a pod steers the scheduler: affinity, tolerations, spreading, gates.
 */
import {
  type FieldError,
  duplicate,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "#apimachinery/field-error.ts";
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinityTerm,
  PodSpec,
  Taint,
  Toleration,
  TopologySpreadConstraint,
} from "#api/generated/types/core-v1.ts";
import { type LabelSelector, validateLabelSelector } from "#apimachinery/label-selector.ts";
import { isDns1123Label, isDns1123Subdomain, isLabelValue } from "#apimachinery/names.ts";
import { check, type Errors, labelName, oneOf, qualifiedName } from "#api/field-rules.ts";

export const taintEffects: readonly string[] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];
const unsatisfiable = ["DoNotSchedule", "ScheduleAnyway"];

export function validateAffinity(field: string, { nodeAffinity, podAffinity, podAntiAffinity }: Affinity): Errors {
  const errors: FieldError[] = [];
  const wanted = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const path = `${field}.nodeAffinity`;
  if (wanted) errors.push(...validateNodeSelector(`${path}.requiredDuringSchedulingIgnoredDuringExecution`, wanted));
  for (const [index, term] of (nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
    const place = `${path}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
    errors.push(...validateWeight(place, term.weight), ...validateTerm(`${place}.preference`, term.preference, true));
  }
  if (podAffinity) errors.push(...validatePodAffinity(`${field}.podAffinity`, podAffinity));
  if (podAntiAffinity) errors.push(...validatePodAffinity(`${field}.podAntiAffinity`, podAntiAffinity));
  return errors;
}

/** A selector of nodes: of affinities and of persistent volumes. */
export function validateNodeSelector(field: string, { nodeSelectorTerms }: NodeSelector): Errors {
  const path = `${field}.nodeSelectorTerms`;
  if (!nodeSelectorTerms?.length) return [required(path, "must have at least one node selector term")];
  return nodeSelectorTerms.flatMap((term, index) => validateTerm(`${path}[${index}]`, term, false));
}

export function validateTolerations(field: string, tolerations: readonly Toleration[]): Errors {
  return tolerations.flatMap((toleration, index) => validateToleration(`${field}[${index}]`, toleration));
}

export function validateTaints(field: string, taints: readonly Taint[]): Errors {
  const seen = new Set<string>();
  return taints.flatMap(({ key, value, effect }, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = [
      ...labelName(`${path}.key`, key),
      ...check(`${path}.value`, value ?? "", (text) => isLabelValue(text).slice(0, 1)),
      ...(effect ? oneOf(`${path}.effect`, effect, taintEffects) : [required(`${path}.effect`)]),
    ];
    if (seen.has(`${key}/${effect}`)) errors.push(duplicate(path, { key, value, effect }));
    seen.add(`${key}/${effect}`);
    return errors;
  });
}

export function validateSchedulingGates(field: string, gates: NonNullable<PodSpec["schedulingGates"]>): Errors {
  const seen = new Set<string>();
  return gates.flatMap(({ name }, index) => {
    const errors = [
      ...qualifiedName(`${field}[${index}]`, name),
      ...(seen.has(name) ? [duplicate(`${field}[${index}]`, name)] : []),
    ];
    seen.add(name);
    return errors;
  });
}

export function validateTopologySpread(field: string, constraints: readonly TopologySpreadConstraint[]): Errors {
  return constraints.flatMap((constraint, index) => {
    const path = `${field}[${index}]`;
    const { maxSkew, topologyKey, whenUnsatisfiable, minDomains, labelSelector } = constraint;
    const errors: FieldError[] = [];
    if (maxSkew <= 0) errors.push(invalid(`${path}.maxSkew`, maxSkew, "must be greater than zero"));
    if (!topologyKey) errors.push(required(`${path}.topologyKey`, "can not be empty"));
    if (!unsatisfiable.includes(whenUnsatisfiable))
      errors.push(notSupported(`${path}.whenUnsatisfiable`, whenUnsatisfiable, unsatisfiable));
    const isAgain = constraints
      .slice(index + 1)
      .some((other) => other.topologyKey === topologyKey && other.whenUnsatisfiable === whenUnsatisfiable);
    if (isAgain)
      errors.push(duplicate(`${path}.{topologyKey, whenUnsatisfiable}`, `{${topologyKey}, ${whenUnsatisfiable}}`));
    if (minDomains !== undefined && minDomains <= 0)
      errors.push(invalid(`${path}.minDomains`, minDomains, "must be greater than zero"));
    if (minDomains !== undefined && whenUnsatisfiable !== "DoNotSchedule") {
      errors.push(
        invalid(
          `${path}.minDomains`,
          minDomains,
          `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`,
        ),
      );
    }
    errors.push(...oneOf(`${path}.nodeAffinityPolicy`, constraint.nodeAffinityPolicy, ["Honor", "Ignore"]));
    errors.push(...oneOf(`${path}.nodeTaintsPolicy`, constraint.nodeTaintsPolicy, ["Honor", "Ignore"]));
    errors.push(...validateLabelKeys(`${path}.matchLabelKeys`, constraint.matchLabelKeys, labelSelector));
    if (labelSelector) errors.push(...validateLabelSelector(labelSelector, `${path}.labelSelector`));
    return errors;
  });
}

function validatePodAffinity(field: string, affinity: NonNullable<Affinity["podAffinity"]>): Errors {
  const required = affinity.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const preferred = affinity.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return [
    ...required.flatMap((term, index) =>
      validatePodTerm(`${field}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`, term),
    ),
    ...preferred.flatMap(({ weight, podAffinityTerm }, index) => {
      const path = `${field}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
      return [...validateWeight(path, weight), ...validatePodTerm(`${path}.podAffinityTerm`, podAffinityTerm)];
    }),
  ];
}

function validatePodTerm(field: string, term: PodAffinityTerm): Errors {
  const {
    labelSelector,
    namespaceSelector,
    namespaces = [],
    matchLabelKeys = [],
    mismatchLabelKeys = [],
    topologyKey,
  } = term;
  return [
    ...(labelSelector ? validateLabelSelector(labelSelector, `${field}.labelSelector`) : []),
    ...(namespaceSelector ? validateLabelSelector(namespaceSelector, `${field}.namespaceSelector`) : []),
    ...namespaces.flatMap((name) => check(`${field}.namespace`, name, isDns1123Label)),
    ...validateLabelKeys(`${field}.matchLabelKeys`, matchLabelKeys, labelSelector),
    ...validateLabelKeys(`${field}.mismatchLabelKeys`, mismatchLabelKeys, labelSelector),
    ...matchLabelKeys.flatMap((key, index) =>
      mismatchLabelKeys.includes(key)
        ? [invalid(`${field}.matchLabelKeys[${index}]`, key, "exists in both matchLabelKeys and mismatchLabelKeys")]
        : [],
    ),
    ...(topologyKey ? [] : [required(`${field}.topologyKey`, "can not be empty")]),
    ...labelName(`${field}.topologyKey`, topologyKey),
  ];
}

function validateLabelKeys(field: string, keys: readonly string[] = [], selector: LabelSelector | undefined): Errors {
  if (keys.length === 0) return [];
  if (!selector) return [forbiddenField(field, "must not be specified when labelSelector is not set")];
  return keys.flatMap((key, index) => labelName(`${field}[${index}]`, key));
}

function validateWeight(field: string, weight: number): Errors {
  return weight > 0 && weight <= 100 ? [] : [invalid(`${field}.weight`, weight, "must be in the range 1-100")];
}

function validateTerm(
  field: string,
  { matchExpressions = [], matchFields = [] }: NodeSelectorTerm,
  allowsAnyValue: boolean,
): Errors {
  return [
    ...matchExpressions.flatMap((one, index) =>
      validateExpression(`${field}.matchExpressions[${index}]`, one, allowsAnyValue),
    ),
    ...matchFields.flatMap((one, index) => validateFieldExpression(`${field}.matchFields[${index}]`, one)),
  ];
}

function validateExpression(
  field: string,
  { key, operator, values = [] }: NodeSelectorRequirement,
  allowsAnyValue: boolean,
): Errors {
  const errors: FieldError[] = [];
  const path = `${field}.values`;
  if (operator === "In" || operator === "NotIn") {
    if (values.length === 0) errors.push(required(path, "must be specified when `operator` is 'In' or 'NotIn'"));
  } else if (operator === "Exists" || operator === "DoesNotExist") {
    if (values.length > 0)
      errors.push(forbiddenField(path, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
  } else if (operator === "Gt" || operator === "Lt") {
    if (values.length !== 1)
      errors.push(required(path, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
  } else {
    errors.push(invalid(`${field}.operator`, operator, "not a valid selector operator"));
  }
  errors.push(...labelName(`${field}.key`, key));
  return allowsAnyValue
    ? errors
    : [...errors, ...values.flatMap((value, index) => check(`${path}[${index}]`, value, isLabelValue))];
}

function validateFieldExpression(field: string, { key, operator, values = [] }: NodeSelectorRequirement): Errors {
  const errors: FieldError[] = [];
  if (operator !== "In" && operator !== "NotIn")
    errors.push(invalid(`${field}.operator`, operator, "not a valid selector operator"));
  else if (values.length !== 1) {
    errors.push(
      required(`${field}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"),
    );
  }
  if (key !== "metadata.name") return [...errors, invalid(`${field}.key`, key, "not a valid field selector key")];
  return [
    ...errors,
    ...values.flatMap((value, index) => check(`${field}.values[${index}]`, value, isDns1123Subdomain)),
  ];
}

function validateToleration(
  path: string,
  { key, operator, value = "", effect, tolerationSeconds }: Toleration,
): Errors {
  const errors: FieldError[] = key ? [...labelName(`${path}.key`, key)] : [];
  if (!key && operator !== "Exists") {
    errors.push(
      invalid(
        `${path}.operator`,
        operator ?? "",
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ),
    );
  }
  if (tolerationSeconds !== undefined && effect !== "NoExecute") {
    errors.push(invalid(`${path}.effect`, effect ?? "", "effect must be 'NoExecute' when `tolerationSeconds` is set"));
  }
  if (!operator || operator === "Equal") {
    const wrong = isLabelValue(value);
    if (wrong.length > 0) errors.push(invalid(`${path}.operator`, value, wrong.join(";")));
  } else if (operator === "Exists") {
    if (value) errors.push(invalid(`${path}.operator`, value, "value must be empty when `operator` is 'Exists'"));
  } else {
    errors.push(notSupported(`${path}.operator`, operator, ["Equal", "Exists"]));
  }
  return effect ? [...errors, ...oneOf(`${path}.effect`, effect, taintEffects)] : errors;
}
