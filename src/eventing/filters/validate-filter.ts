/**
 * What is wrong with a Trigger's filters, in Knative's words and with the path of the place. Stricter than upstream in one thing: a CESQL expression that can never be true (a function that does not exist, a value that is no
 * boolean) is refused rather than accepted and never matched.
 */
import {
  currentField,
  type FieldError,
  generic,
  invalidKeyName,
  invalidValue,
  viaField,
  viaIndex,
} from "#knative/admission/field-error.ts";
import { CesqlParseError } from "./cesql/cesql-error.ts";
import { compileCesql, type Expression } from "./cesql/compile.ts";
import { type AttributeFilter, filterBounds, type FilterSpec, type SubscriptionsFilter } from "./filter-spec.ts";

/** Empty when the filters can be compiled. Paths are relative to the spec. */
export function validateFilters({ filter, filters }: FilterSpec): readonly FieldError[] {
  const budget = { left: filterBounds.count };
  return [
    ...viaField("filter", viaField("attributes", validateNames(filter?.attributes))),
    ...viaField("filters", validateList(filters, { depth: 0, budget })),
  ];
}

/** Why the expression does not do as a filter; undefined when it does. */
export function cesqlProblem(text: string): string | undefined {
  let expression: Expression;
  try {
    expression = compileCesql(text);
  } catch (error) {
    if (error instanceof CesqlParseError) return error.message;
    throw error;
  }
  const [missing] = expression.missingFunctions;
  if (missing !== undefined) return `there is no function ${missing}`;
  if (expression.type === "Any" || expression.type === "Boolean") return undefined;
  return `a filter must give true or false, this one gives ${expression.type === "String" ? "a string" : "a number"}`;
}

type Place = { readonly depth: number; readonly budget: { left: number } };

const attributeName = /^[a-z][a-z0-9]*$/;
const dialects = ["exact", "prefix", "suffix", "all", "any", "not", "cesql"] as const;

function validateList(filters: readonly SubscriptionsFilter[] | undefined, place: Place): readonly FieldError[] {
  return (filters ?? []).flatMap((filter, index) => viaIndex(index, validateOne(filter, place)));
}

function validateOne(filter: SubscriptionsFilter, { depth, budget }: Place): readonly FieldError[] {
  if (depth >= filterBounds.depth) return [generic(`filters nest deeper than ${filterBounds.depth}`, currentField)];
  if (budget.left-- === 0) return [generic(`there are more than ${filterBounds.count} filters`, currentField)];
  const inner = { depth: depth + 1, budget };
  const { exact, prefix, suffix, all, any, not, cesql } = filter;
  return [
    ...validateDialects(filter),
    ...viaField("exact", validateNames(exact)),
    ...viaField("prefix", validateNames(prefix)),
    ...viaField("suffix", validateNames(suffix)),
    ...viaField("all", validateList(all, inner)),
    ...viaField("any", validateList(any, inner)),
    ...viaField("not", not === undefined ? [] : validateOne(not, inner)),
    ...viaField("cesql", validateCesql(cesql)),
  ];
}

function validateDialects(filter: SubscriptionsFilter): readonly FieldError[] {
  const found = dialects.filter((dialect) => {
    const value = filter[dialect];
    return dialect === "not" ? value !== undefined : value !== undefined && Object.keys(value).length > 0;
  });
  if (found.length <= 1) return [];
  return [generic("multiple dialects found, filters can have only one dialect set", currentField)];
}

function validateNames(attributes: AttributeFilter | undefined): readonly FieldError[] {
  return Object.keys(attributes ?? {})
    .filter((name) => !attributeName.test(name))
    .map((name) =>
      invalidKeyName(
        name,
        `[${name}]`,
        "Attribute name must start with a letter and can only contain lowercase alphanumeric",
      ),
    );
}

function validateCesql(text: string | undefined): readonly FieldError[] {
  if (text === undefined || text === "") return [];
  const problem = cesqlProblem(text);
  return problem === undefined ? [] : [invalidValue(text, currentField, problem)];
}
