/**
 * Everything that the schema of one version of a custom resource says, compiled once, when it is first needed: its {@link Schema}, defaults, validation.
 */
import { type FieldError, type FieldErrorType, invalid, required } from "#apimachinery/field-error.ts";
import { isJsonArray, isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { isDns1035Label } from "#apimachinery/names.ts";
import { withDefaults, withoutForbiddenNulls } from "./defaults.ts";
import { itemsOf, type JsonSchemaProps, propertyOf } from "./json-schema-props.ts";
import { listTypeErrors } from "./list-types.ts";
import { Patterns } from "./patterns.ts";
import { ValidationRules } from "./rules.ts";
import { toSchema } from "./to-schema.ts";
import { valueErrors } from "./validate-value.ts";

const rulesNotChecked =
  "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
/** Errors with which rules are not evaluated. */
const blocking: ReadonlySet<FieldErrorType> = new Set<FieldErrorType>([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);

/** The schema of one served version. */
export class CustomResourceSchema {
  readonly #props: JsonSchemaProps | undefined;
  readonly #objectMeta: StructSchema;
  readonly #patterns = new Patterns();
  #schema: StructSchema | undefined;
  #rules: ValidationRules | undefined;

  /** `props` is the version's openAPIV3Schema, absent for one that keeps everything; `objectMeta` the schema of metadata. */
  constructor(props: JsonSchemaProps | undefined, objectMeta: StructSchema) {
    this.#props = props;
    this.#objectMeta = objectMeta;
  }

  /** What reading, pruning and server-side apply follow. */
  get schema(): StructSchema {
    this.#schema ??= toSchema(this.#props, this.#objectMeta);
    return this.#schema;
  }

  /** The object with defaults filled in and without nulls that are not allowed. Shares what stays the same. */
  withDefaults(object: JsonObject): JsonObject {
    if (this.#props === undefined) return object;
    return withoutForbiddenNulls(withDefaults(object, this.#props), this.#props);
  }

  /** What is wrong with the object: types, values, lists, embedded resources. Its own metadata is validated elsewhere. `old` is what an update replaces. */
  validate(object: JsonObject, old?: JsonObject): readonly FieldError[] {
    if (this.#props === undefined) return [];
    const errors = this.#schemaErrors(object, this.#props, old);
    this.#rules ??= new ValidationRules(this.#props);
    if (!this.#rules.hasAny) return errors;
    // Rules count on values that fit their schema.
    if (errors.some(({ type }) => blocking.has(type))) return [...errors, invalid("<nil>", null, rulesNotChecked)];
    return [...errors, ...this.#rules.validate(object, old)];
  }

  #schemaErrors(object: JsonObject, props: JsonSchemaProps, old: JsonObject | undefined): readonly FieldError[] {
    const errors = valueErrors(object, props, { patterns: this.#patterns, old });
    const embedded = embeddedErrors(object, props, "", true);
    // Lists are looked at only where types are right, as upstream.
    if (errors.some((error) => error.type === "FieldValueTypeInvalid")) return [...errors, ...embedded];
    const repeated = listTypeErrors(object, props);
    const wasAlready = old === undefined || repeated.length === 0 ? [] : listTypeErrors(old, props);
    return [...errors, ...embedded, ...(wasAlready.length === 0 ? repeated : [])];
  }
}

/** Objects of the API inside of others: `x-kubernetes-embedded-resource`. */
function embeddedErrors(value: Json, schema: JsonSchemaProps, field: string, isRoot: boolean): readonly FieldError[] {
  if (isJsonArray(value)) {
    const items = itemsOf(schema);
    if (items === undefined) return [];
    return value.flatMap((item, index) => embeddedErrors(item, items, `${field}[${index}]`, false));
  }
  if (!isJsonObject(value)) return [];
  const own = schema["x-kubernetes-embedded-resource"] && !isRoot ? typeMetaErrors(value, field) : [];
  const inner = Object.entries(value).flatMap(([key, each]) => {
    const property = typeof each === "object" ? propertyOf(schema, key) : undefined;
    return property === undefined ? [] : embeddedErrors(each, property, field === "" ? key : `${field}.${key}`, false);
  });
  return [...own, ...inner];
}

function typeMetaErrors(object: JsonObject, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const key of ["apiVersion", "kind"]) {
    const value = object[key];
    if (value === undefined) errors.push(required(`${field}.${key}`));
    else if (typeof value !== "string") errors.push(invalid(`${field}.${key}`, value, "must be a string"));
    else if (value === "") errors.push(invalid(`${field}.${key}`, value, "must not be empty"));
    else if (key === "kind" && isDns1035Label(value.toLowerCase()).length > 0) {
      const why = `may have mixed case, but should otherwise match: ${isDns1035Label(value.toLowerCase()).join(",")}`;
      errors.push(invalid(`${field}.kind`, value, why));
    }
  }
  return errors;
}
