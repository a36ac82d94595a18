/**
 * Rules of custom resources in CEL: `x-kubernetes-validations`. What is evaluated when, and in which words a failure is told, as apiextensions-apiserver.
 */
import { fromJson } from "#apimachinery/cel/json-values.ts";
import { CelLimitError, CelProgram } from "#apimachinery/cel/program.ts";
import { DYN, objectWithMeta, type StaticType, typeOfSchema } from "#apimachinery/cel/static-types.ts";
import { CelSyntaxError, describeProblem } from "#apimachinery/cel/syntax.ts";
import { type CelValue, Optional } from "#apimachinery/cel/values.ts";
import { duplicate, type FieldError, forbiddenField, invalid, required } from "#apimachinery/field-error.ts";
import { isJsonArray, isJsonObject, type JsonObject, jsonEqual, ownValue } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import { additionalOf, itemsOf, type JsonSchemaProps, propertyOf, type ValidationRule } from "./json-schema-props.ts";
import { itemFinder } from "./validate-value.ts";

/** What all rules of one object may cost together: about a second. */
const COST_BUDGET = 10_000_000;
const CALL_LIMIT = 1_000_000;
const MAX_MESSAGE_BYTES = 5 * 1024;

/** A rule that is ready to run. */
export type CompiledRule = {
  readonly rule: ValidationRule;
  readonly program: CelProgram | undefined;
  readonly message: CelProgram | undefined;
  readonly usesOldSelf: boolean;
  /** What is wrong with the expression, and with the one for the message. */
  readonly problem: string | undefined;
  readonly messageProblem: string | undefined;
};

/** Compiles one rule of a schema; `isRoot` says that the schema is that of a whole object. */
export function compileRule(rule: ValidationRule, schema: JsonSchemaProps, isRoot: boolean): CompiledRule {
  const self = (isRoot ? objectWithMeta(schema) : typeOfSchema(schema)) ?? DYN;
  const oldSelf: StaticType = rule.optionalOldSelf === true ? { kind: "optional", item: self } : { ...self };
  const names = new Map([
    ["self", self],
    ["oldSelf", oldSelf],
  ]);
  const main = compileAs(rule.rule, names, {
    kind: "bool",
    problem: "cel expression must evaluate to a bool",
    prefix: "",
  });
  const message = rule.messageExpression
    ? compileAs(rule.messageExpression, names, {
        kind: "string",
        problem: "messageExpression must evaluate to a string",
        prefix: "messageExpression ",
      })
    : undefined;
  return {
    rule,
    program: typeof main === "string" ? undefined : main,
    message: typeof message === "string" ? undefined : message,
    usesOldSelf: typeof main !== "string" && main.checked.uses.has("oldSelf"),
    problem: typeof main === "string" ? main : undefined,
    messageProblem: typeof message === "string" ? message : undefined,
  };
}

function compileAs(
  text: string,
  names: ReadonlyMap<string, StaticType>,
  wanted: { readonly kind: "bool" | "string"; readonly problem: string; readonly prefix: string },
): CelProgram | string {
  try {
    const program = new CelProgram(text, names);
    const { kind } = program.checked.type;
    return kind === wanted.kind || kind === "dyn" ? program : wanted.problem;
  } catch (error) {
    if (!(error instanceof CelSyntaxError)) throw error;
    return `${wanted.prefix}compilation failed: ${describeProblem(text, error.at, error.message)}`;
  }
}

/** All rules in one schema. */
export class ValidationRules {
  readonly #schema: JsonSchemaProps;
  readonly #compiled = new Map<JsonSchemaProps, readonly CompiledRule[]>();
  readonly #holders = new Map<JsonSchemaProps, boolean>();

  constructor(schema: JsonSchemaProps) {
    this.#schema = schema;
  }

  get hasAny(): boolean {
    return this.#holdsRules(this.#schema);
  }

  /** Which rules the object breaks. `old` is what an update replaces. */
  validate(object: JsonObject, old?: JsonObject): readonly FieldError[] {
    if (!this.#holdsRules(this.#schema)) return [];
    const run = new Run(
      (schema) => this.#rulesOf(schema),
      (schema) => this.#holdsRules(schema),
    );
    run.check(object, this.#schema, { path: "", old, isCorrelated: old !== undefined });
    return run.errors;
  }

  #rulesOf(schema: JsonSchemaProps): readonly CompiledRule[] {
    let compiled = this.#compiled.get(schema);
    if (compiled === undefined) {
      const rules = [schema, ...(schema.allOf ?? [])].flatMap((each) => each["x-kubernetes-validations"] ?? []);
      compiled = rules.map((rule) => compileRule(rule, schema, schema === this.#schema));
      this.#compiled.set(schema, compiled);
    }
    return compiled;
  }

  /** True when the schema or one in it has rules: whatever has none is not looked at. */
  #holdsRules(schema: JsonSchemaProps): boolean {
    let holds = this.#holders.get(schema);
    if (holds === undefined) {
      const inner = [itemsOf(schema), additionalOf(schema), ...Object.values(schema.properties ?? {})];
      holds = this.#rulesOf(schema).length > 0 || inner.some((each) => each !== undefined && this.#holdsRules(each));
      this.#holders.set(schema, holds);
    }
    return holds;
  }
}

/** Where a value stands and what stood there before; a value without a past that can be told is not correlated. */
type Place = { readonly path: string; readonly old: Json | undefined; readonly isCorrelated: boolean };

/** One evaluation of all rules of an object. */
class Run {
  readonly errors: FieldError[] = [];
  #budget = COST_BUDGET;
  readonly #rulesOf: (schema: JsonSchemaProps) => readonly CompiledRule[];
  readonly #holdsRules: (schema: JsonSchemaProps) => boolean;

  constructor(
    rulesOf: (schema: JsonSchemaProps) => readonly CompiledRule[],
    holdsRules: (schema: JsonSchemaProps) => boolean,
  ) {
    this.#rulesOf = rulesOf;
    this.#holdsRules = holdsRules;
  }

  check(value: Json, schema: JsonSchemaProps, place: Place): void {
    if (value === null || this.#budget < 0 || !this.#holdsRules(schema)) return;
    this.#rules(value, schema, place);
    if (isJsonArray(value)) this.#list(value, schema, place);
    else if (isJsonObject(value)) this.#object(value, schema, place);
  }

  #list(list: readonly Json[], schema: JsonSchemaProps, { path, old }: Place): void {
    const items = itemsOf(schema);
    if (items === undefined) return;
    const find = itemFinder(schema, old);
    for (const [index, item] of list.entries()) {
      const before = find(item);
      this.check(item, items, { path: `${path}[${index}]`, old: before, isCorrelated: before !== undefined });
    }
  }

  #object(object: JsonObject, schema: JsonSchemaProps, { path, old }: Place): void {
    const isGranular = schema["x-kubernetes-map-type"] !== "atomic";
    const before = isGranular && isJsonObject(old) ? old : undefined;
    const isDeclared = schema.properties !== undefined;
    for (const [key, value] of Object.entries(object)) {
      const inner = propertyOf(schema, key);
      if (inner === undefined) continue;
      const last = before === undefined ? undefined : ownValue(before, key);
      const at = isDeclared ? (path === "" ? key : `${path}.${key}`) : `${path}[${key}]`;
      this.check(value, inner, { path: at, old: last, isCorrelated: last !== undefined });
    }
  }

  #rules(value: Json, schema: JsonSchemaProps, place: Place): void {
    const rules = this.#rulesOf(schema);
    if (rules.length === 0) return;
    const self = fromJson(value, schema);
    const old = place.old === undefined || place.old === null ? undefined : fromJson(place.old, schema);
    for (const compiled of rules) {
      if (this.#budget < 0) return;
      this.#rule(compiled, { value, schema, place, self, old });
    }
  }

  #rule(compiled: CompiledRule, at: At): void {
    const { rule, program, usesOldSelf } = compiled;
    const { place, schema, self, old } = at;
    const fail = (why: string): void => {
      this.errors.push(invalid(fieldOf(place.path), schema.type ?? "", why));
    };
    if (program === undefined) return fail(`rule compile error: ${compiled.problem}`);
    const isOptional = rule.optionalOldSelf === true;
    if (usesOldSelf && old === undefined && !isOptional) return;
    const names = new Map<string, CelValue>([["self", self]]);
    if (isOptional) names.set("oldSelf", new Optional(old));
    else if (old !== undefined) names.set("oldSelf", old);
    const { value: result, cost } = program.run(names, CALL_LIMIT);
    this.#budget -= cost;
    const text = (rule.message || rule.rule).trim();
    if (result instanceof CelLimitError) {
      this.#budget = -1;
      return fail(
        `'${result.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${text}`,
      );
    }
    if (this.#budget < 0) {
      return fail("validation failed due to running out of cost budget, no further validation rules will be run");
    }
    if (result instanceof Error) return fail(failureOf(result, text));
    if (result === true) return;
    // What an update leaves as it was is not judged again, so that rules may become stricter.
    const isUnchanged = place.isCorrelated && place.old !== undefined && jsonEqual(at.value, place.old);
    if (!usesOldSelf && isUnchanged) return;
    this.#broken(compiled, at, names);
  }

  #broken({ rule, message }: CompiledRule, { value, schema, place }: At, names: ReadonlyMap<string, CelValue>): void {
    const own = message === undefined ? undefined : this.#message(message, names);
    const detail = own ?? (rule.message ? rule.message.trim() : `failed rule: ${rule.rule.trim()}`);
    const field = [place.path, normalized(rule.fieldPath)]
      .filter((part) => part !== "")
      .join(".")
      .replaceAll(".[", "[");
    const isWhole = schema.type === "object" || schema.type === "array";
    this.errors.push(errorFor(rule.reason, fieldOf(field), isWhole ? undefined : value, detail));
  }

  /** The text that an expression makes, unless it is no good: then the fixed one counts. */
  #message(program: CelProgram, names: ReadonlyMap<string, CelValue>): string | undefined {
    const { value, cost } = program.run(names, Math.min(CALL_LIMIT, Math.max(this.#budget, 0)));
    this.#budget -= cost;
    if (typeof value !== "string") return undefined;
    const text = value.trim();
    return text === "" || text.includes("\n") || Buffer.byteLength(text) > MAX_MESSAGE_BYTES ? undefined : text;
  }
}

type At = {
  readonly value: Json;
  readonly schema: JsonSchemaProps;
  readonly place: Place;
  readonly self: CelValue;
  readonly old: CelValue | undefined;
};

function failureOf({ message }: Error, rule: string): string {
  if (!message.startsWith("no such overload")) return `${message} evaluating rule: ${rule}`;
  return `'${message}': call arguments did not match a supported operator, function or macro signature for rule: ${rule}`;
}

/** Objects and lists are left out of the error. */
function errorFor(reason: string | undefined, field: string, value: Json | undefined, detail: string): FieldError {
  if (reason === "FieldValueForbidden") return forbiddenField(field, detail);
  if (reason === "FieldValueRequired") return required(field, detail);
  if (reason === "FieldValueDuplicate") {
    return value === undefined
      ? { type: "FieldValueDuplicate", field, message: "Duplicate value" }
      : duplicate(field, value);
  }
  if (value !== undefined) return invalid(field, value, detail);
  return { type: "FieldValueInvalid", field, message: `Invalid value: ${detail}` };
}

/** `.a['b'].c` as fields are written in errors. */
function normalized(path: string | undefined): string {
  return (path ?? "").replace(/\['((?:[^'\\]|\\.)*)'\]/g, (_, key: string) => `.${key}`).replace(/^\./, "");
}

function fieldOf(path: string): string {
  return path === "" ? "<nil>" : path;
}
