/**
 * Label selectors: the string form (`app=web,tier in (a,b),!old`) and the LabelSelector object, compiled to requirements, matched and printed.
 * Grammar and errors of the string form are apimachinery's pkg/labels; the parser is in label-selector-parser.ts.
 */
import { type FieldError, forbiddenField, invalid, required } from "./field-error.ts";
import { isLabelValue, isQualifiedName } from "./names.ts";

/** The selector as it stands in specs. Both parts must hold. */
export type LabelSelector = {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly LabelSelectorRequirement[];
};

/** One expression of a {@link LabelSelector}. */
export type LabelSelectorRequirement = {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist" | (string & {});
  readonly values?: readonly string[];
};

/** Operators of the string form, in upstream's spelling. */
export type SelectorOperator = "=" | "==" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";

/** One condition on one label. `values` are sorted. */
export type Requirement = {
  readonly key: string;
  readonly operator: SelectorOperator;
  readonly values: readonly string[];
};

/** A compiled selector: all requirements must hold, none at all match everything, unless `matchesNothing`. */
export type Selector = {
  readonly requirements: readonly Requirement[];
  readonly matchesNothing: boolean;
  /** Given where there are many requirements, which then stand in the order of their keys: how many of them no absent label meets. */
  readonly needing?: number;
};

/** Labels of an object; absent labels are none. */
export type Labels = Readonly<Record<string, string>> | undefined;

/** A selector that cannot be understood. The message is upstream's. */
export class SelectorError extends Error {
  readonly kind = "SelectorError";
}

/** Matches every object. */
export const everything: Selector = { requirements: [], matchesNothing: false };

/** Matches no object. */
export const nothing: Selector = { requirements: [], matchesNothing: true };

/** Compiles a LabelSelector object: absent matches nothing, empty matches everything. Throws {@link SelectorError} for an unknown operator. */
export function compileLabelSelector(selector: LabelSelector | undefined | null): Selector {
  if (selector === undefined || selector === null) return nothing;
  const requirements = equalities(selector.matchLabels);
  for (const expression of selector.matchExpressions ?? []) requirements.push(fromExpression(expression));
  return requirements.length === 0 ? everything : { requirements: sortByKey(requirements), matchesNothing: false };
}

/** Selector for a plain map, as ReplicationControllers and Services have it: absent or empty matches everything. */
export function selectorFromLabels(labels: Labels): Selector {
  return { requirements: sortByKey(equalities(labels)), matchesNothing: false };
}

/** True when `labels` meet the selector. */
export function matchesSelector(selector: Selector, labels: Labels): boolean {
  if (selector.matchesNothing) return false;
  if (selector.needing !== undefined) return meetsMany(selector.requirements, selector.needing, labels ?? {});
  for (const requirement of selector.requirements) if (!matchesRequirement(requirement, labels)) return false;
  return true;
}

/** Looks at the few labels of the object and not at each of the many requirements. */
function meetsMany(requirements: readonly Requirement[], needing: number, labels: NonNullable<Labels>): boolean {
  let met = 0;
  for (const key of Object.keys(labels)) {
    for (let index = firstOf(requirements, key); requirements[index]?.key === key; index++) {
      const requirement = requirements[index] as Requirement;
      if (!matchesRequirement(requirement, labels)) return false;
      if (needsLabel(requirement)) met++;
    }
  }
  return met === needing;
}

/** True when an object without the label does not meet the requirement. */
export function needsLabel({ operator }: Requirement): boolean {
  return operator !== "!=" && operator !== "notin" && operator !== "!";
}

/** Where the requirements of a key begin, or would. */
function firstOf(requirements: readonly Requirement[], key: string): number {
  let low = 0;
  let high = requirements.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((requirements[middle] as Requirement).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** True when `labels` meet the LabelSelector object; absent matches nothing. */
export function matchesLabelSelector(selector: LabelSelector | undefined | null, labels: Labels): boolean {
  if (selector === undefined || selector === null) return false;
  if (!matchesLabels(selector.matchLabels, labels)) return false;
  for (const expression of selector.matchExpressions ?? []) {
    if (!matchesRequirement(fromExpression(expression), labels)) return false;
  }
  return true;
}

/** True when `labels` hold every pair of `wanted`. */
export function matchesLabels(wanted: Labels, labels: Labels): boolean {
  if (wanted === undefined) return true;
  for (const key in wanted) if (lookup(labels, key) !== wanted[key]) return false;
  return true;
}

/** True when one requirement holds. */
export function matchesRequirement(requirement: Requirement, labels: Labels): boolean {
  const value = lookup(labels, requirement.key);
  switch (requirement.operator) {
    case "=":
    case "==":
    case "in":
      return value !== undefined && requirement.values.includes(value);
    case "!=":
    case "notin":
      return value === undefined || !requirement.values.includes(value);
    case "exists":
      return value !== undefined;
    case "!":
      return value === undefined;
    case "gt":
    case "lt":
      return value !== undefined && compareAsIntegers(value, requirement);
  }
}

/** The canonical string form: sorted by key, values sorted. Everything is "". */
export function formatSelector(selector: Selector): string {
  return selector.requirements.map(formatRequirement).join(",");
}

/** For people, as in `kubectl get -o wide`: "<none>" when it selects everything or nothing, "<error>" when it is wrong. */
export function formatLabelSelector(selector: LabelSelector | undefined | null): string {
  try {
    return formatSelector(compileLabelSelector(selector)) || "<none>";
  } catch {
    return "<error>";
  }
}

/** What is wrong with a LabelSelector object. */
export function validateLabelSelector(
  selector: LabelSelector | undefined | null,
  field: string,
): readonly FieldError[] {
  if (selector === undefined || selector === null) return [];
  const errors = [...validateLabels(selector.matchLabels, `${field}.matchLabels`)];
  selector.matchExpressions?.forEach((expression, index) => {
    errors.push(...validateExpression(expression, `${field}.matchExpressions[${index}]`));
  });
  return errors;
}

/** What is wrong with labels: keys are qualified names, values label values. */
export function validateLabels(labels: Labels, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const message of isQualifiedName(key)) errors.push(invalid(field, key, message));
    for (const message of isLabelValue(value)) errors.push(invalid(field, value, message));
  }
  return errors;
}

/** Upstream's rules for a requirement of the string form. Throws {@link SelectorError}. */
export function newRequirement(key: string, operator: SelectorOperator, values: readonly string[]): Requirement {
  const problems: string[] = [];
  const keyErrors = isQualifiedName(key);
  if (keyErrors.length > 0) problems.push(`key: Invalid value: ${JSON.stringify(key)}: ${keyErrors.join("; ")}`);
  const wrong = wrongValues(operator, values);
  if (wrong !== "") problems.push(`values: Invalid value: ${JSON.stringify(values)}: ${wrong}`);
  values.forEach((value, index) => {
    if ((operator === "gt" || operator === "lt") && !isInt64(value)) {
      const why = "for 'Gt', 'Lt' operators, the value must be an integer";
      problems.push(`values[${index}]: Invalid value: ${JSON.stringify(value)}: ${why}`);
    }
  });
  values.forEach((value, index) => {
    const errors = isLabelValue(value);
    if (errors.length > 0) {
      problems.push(`values[${index}][${key}]: Invalid value: ${JSON.stringify(value)}: ${errors.join("; ")}`);
    }
  });
  if (problems.length === 1) throw new SelectorError(problems[0]);
  if (problems.length > 1) throw new SelectorError(`[${problems.join(", ")}]`);
  return { key, operator, values };
}

/** A copy in the order of keys; upstream parses and prints in it. */
export function sortByKey(requirements: readonly Requirement[]): readonly Requirement[] {
  return [...requirements].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

function wrongValues(operator: SelectorOperator, values: readonly string[]): string {
  switch (operator) {
    case "in":
    case "notin":
      return values.length === 0 ? "for 'in', 'notin' operators, values set can't be empty" : "";
    case "=":
    case "==":
    case "!=":
      return values.length === 1 ? "" : "exact-match compatibility requires one single value";
    case "exists":
    case "!":
      return values.length === 0 ? "" : "values set must be empty for exists and does not exist";
    case "gt":
    case "lt":
      return values.length === 1 ? "" : "for 'Gt', 'Lt' operators, exactly one value is required";
  }
}

function validateExpression(expression: LabelSelectorRequirement, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const values = expression.values ?? [];
  switch (expression.operator) {
    case "In":
    case "NotIn":
      if (values.length === 0) {
        errors.push(required(`${field}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      }
      break;
    case "Exists":
    case "DoesNotExist":
      if (values.length > 0) {
        const why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
        errors.push(forbiddenField(`${field}.values`, why));
      }
      break;
    default:
      errors.push(invalid(`${field}.operator`, expression.operator ?? "", "not a valid selector operator"));
  }
  const key = expression.key ?? "";
  for (const message of isQualifiedName(key)) errors.push(invalid(`${field}.key`, key, message));
  values.forEach((value, index) => {
    for (const message of isLabelValue(value)) errors.push(invalid(`${field}.values[${index}]`, value, message));
  });
  return errors;
}

function equalities(labels: Labels): Requirement[] {
  return Object.entries(labels ?? {}).map(([key, value]) => ({ key, operator: "=", values: [value] }));
}

function fromExpression(expression: LabelSelectorRequirement): Requirement {
  const values = expression.values ?? [];
  switch (expression.operator) {
    case "In":
      return { key: expression.key, operator: "in", values };
    case "NotIn":
      return { key: expression.key, operator: "notin", values };
    case "Exists":
      return { key: expression.key, operator: "exists", values };
    case "DoesNotExist":
      return { key: expression.key, operator: "!", values };
    default:
      throw new SelectorError(`${JSON.stringify(expression.operator)} is not a valid label selector operator`);
  }
}

function formatRequirement({ key, operator, values }: Requirement): string {
  const list = [...values].sort().join(",");
  switch (operator) {
    case "exists":
      return key;
    case "!":
      return `!${key}`;
    case "in":
    case "notin":
      return `${key} ${operator} (${list})`;
    case "gt":
      return `${key}>${list}`;
    case "lt":
      return `${key}<${list}`;
    default:
      return `${key}${operator}${list}`;
  }
}

function compareAsIntegers(label: string, requirement: Requirement): boolean {
  const wanted = requirement.values[0] ?? "";
  if (!isInt64(label) || !isInt64(wanted)) return false;
  return requirement.operator === "gt" ? BigInt(label) > BigInt(wanted) : BigInt(label) < BigInt(wanted);
}

function isInt64(text: string): boolean {
  return /^-?[0-9]{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}

function lookup(labels: Labels, key: string): string | undefined {
  return labels !== undefined && labels !== null && Object.hasOwn(labels, key) ? labels[key] : undefined;
}
