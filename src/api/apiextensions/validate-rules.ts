/**
 * Validation of the rules in CEL that CustomResourceDefinitions carry: their fields, their expressions, and what they may cost.
 */
import { leastBytes } from "#apimachinery/cel/static-types.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import {
  additionalOf,
  itemsOf,
  type JsonSchemaProps,
  type ValidationRule,
} from "#apimachinery/structural-schema/json-schema-props.ts";
import { compileRule } from "#apimachinery/structural-schema/rules.ts";

const COST_LIMIT = 10_000_000;
/** Our estimate of costs is coarser than upstream's: rules that it takes must not be refused here. */
const COST_SLACK = 10;
const MAX_REQUEST_BYTES = 3 * 1024 * 1024;
const REASONS = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/** What is known of a place in a schema: how many values may stand there, and the list around it whose items have no past. */
type Place = {
  readonly field: string;
  readonly isRoot: boolean;
  readonly count: number;
  readonly uncorrelatable: string | undefined;
};

/** What is wrong with the rules in the schema of one version. */
export function validateRules(schema: JsonSchemaProps, field: string): readonly FieldError[] {
  return nodeErrors(schema, { field, isRoot: true, count: 1, uncorrelatable: undefined });
}

function nodeErrors(schema: JsonSchemaProps, place: Place): readonly FieldError[] {
  const errors = (schema["x-kubernetes-validations"] ?? []).flatMap((rule, index) => {
    const at = `${place.field}.x-kubernetes-validations[${index}]`;
    const found = fieldErrors(rule, schema, at);
    return found.length > 0 ? found : expressionErrors(rule, schema, at, place);
  });
  return [...errors, ...children(schema, place).flatMap(([inner, at]) => nodeErrors(inner, at))];
}

function children(schema: JsonSchemaProps, place: Place): readonly (readonly [JsonSchemaProps, Place])[] {
  const { field, count } = place;
  const found: (readonly [JsonSchemaProps, Place])[] = [];
  const isAtomicMap = schema["x-kubernetes-map-type"] === "atomic";
  const around = place.uncorrelatable ?? (isAtomicMap ? field : undefined);
  const inside = { isRoot: false, uncorrelatable: around };
  const items = itemsOf(schema);
  if (items !== undefined) {
    const isCorrelatable = schema["x-kubernetes-list-type"] === "map";
    const most = schema.maxItems ?? Math.floor(MAX_REQUEST_BYTES / (leastBytes(items) + 1));
    const uncorrelatable = place.uncorrelatable ?? (isCorrelatable ? undefined : field);
    found.push([items, { ...inside, field: `${field}.items`, count: bounded(count * most, items), uncorrelatable }]);
  }
  const values = additionalOf(schema);
  if (values !== undefined) {
    const most = schema.maxProperties ?? Math.floor(MAX_REQUEST_BYTES / (leastBytes(values) + 4));
    found.push([values, { ...inside, field: `${field}.additionalProperties`, count: bounded(count * most, values) }]);
  }
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    found.push([inner, { ...inside, field: `${field}.properties[${name}]`, count }]);
  }
  return found;
}

/** No more values can stand in one object than a request has room for. */
function bounded(count: number, schema: JsonSchemaProps): number {
  return Math.min(count, Math.floor(MAX_REQUEST_BYTES / (leastBytes(schema) + 1)));
}

function fieldErrors(rule: ValidationRule, schema: JsonSchemaProps, at: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { message = "", messageExpression = "", fieldPath = "", reason } = rule;
  const text = rule.rule?.trim() ?? "";
  if (text === "") errors.push(required(`${at}.rule`, "rule is not specified"));
  else if (message !== "" && message.trim() === "") {
    errors.push(invalid(`${at}.message`, message, "must be non-empty if specified"));
  } else if (hasLines(message.trim())) {
    errors.push(invalid(`${at}.message`, message, "must not contain line breaks"));
  } else if (hasLines(text) && message.trim() === "") {
    errors.push(required(`${at}.message`, "message must be specified if rule contains line breaks"));
  }
  if (messageExpression !== "" && messageExpression.trim() === "") {
    errors.push(required(`${at}.messageExpression`, "messageExpression must be non-empty if specified"));
  }
  if (reason !== undefined && !REASONS.includes(reason)) errors.push(notSupported(`${at}.reason`, reason, REASONS));
  if (fieldPath === "") return errors;
  const problem = fieldPathProblem(fieldPath, schema);
  return problem === undefined ? errors : [...errors, invalid(`${at}.fieldPath`, fieldPath, problem)];
}

function fieldPathProblem(path: string, schema: JsonSchemaProps): string | undefined {
  if (path.trim() === "") return "must be non-empty if specified";
  if (hasLines(path)) return "must not contain line breaks";
  return leadsSomewhere(path, schema) ? undefined : "must be a valid path";
}

/** True for a path of `.name` and `['key']` that the schema has. */
function leadsSomewhere(path: string, schema: JsonSchemaProps): boolean {
  let node: JsonSchemaProps | undefined = schema;
  let at = 0;
  const step = /\.([^.[\]]+)|\['((?:[^'\\]|\\.)*)'\]/y;
  while (at < path.length) {
    step.lastIndex = at;
    const match = step.exec(path);
    if (match === null || node === undefined) return false;
    const key = (match[1] ?? match[2]) as string;
    node = node.properties === undefined ? additionalOf(node) : node.properties[key];
    at += match[0].length;
  }
  return node !== undefined;
}

function expressionErrors(
  rule: ValidationRule,
  schema: JsonSchemaProps,
  at: string,
  place: Place,
): readonly FieldError[] {
  const { program, message, usesOldSelf, problem, messageProblem } = compileRule(rule, schema, place.isRoot);
  const errors: FieldError[] = [];
  const cost = (program?.checked.cost ?? 0) * place.count;
  if (cost > COST_LIMIT * COST_SLACK) errors.push(forbiddenField(`${at}.rule`, tooCostly("estimated rule cost", cost)));
  if (problem !== undefined) errors.push(invalid(`${at}.rule`, rule, problem));
  if (messageProblem !== undefined) errors.push(invalid(`${at}.messageExpression`, rule, messageProblem));
  const messageCost = message?.checked.cost ?? 0;
  if (messageCost > COST_LIMIT * COST_SLACK) {
    errors.push(forbiddenField(`${at}.messageExpression`, tooCostly("estimated messageExpression cost", messageCost)));
  }
  if (usesOldSelf && place.uncorrelatable !== undefined) {
    const why = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${place.uncorrelatable}`;
    errors.push(invalid(`${at}.rule`, rule.rule, why));
  } else if (!usesOldSelf && problem === undefined && rule.optionalOldSelf !== undefined) {
    const why = "may not be set if oldSelf is not used in rule";
    errors.push(invalid(`${at}.optionalOldSelf`, rule.optionalOldSelf, why));
  }
  return errors;
}

function tooCostly(what: string, cost: number): string {
  const factor = cost / COST_LIMIT;
  const shown = factor > 100 ? "more than 100x" : `${factor.toFixed(1)}x`;
  return `${what} exceeds budget by factor of ${shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`;
}

function hasLines(text: string): boolean {
  return /[\n\r]/.test(text);
}
