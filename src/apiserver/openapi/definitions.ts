/**
 * Schemas of the built-in kinds as OpenAPI shows them: what kubectl's explain, apply and validation need. Version 3 carries defaults, version 2 does not.
 */
import type { KindFacts } from "#api/kind-facts.ts";
import type { FieldSchema, ListSchema, ScalarSchema, Schema, StructSchema } from "#apimachinery/schema.ts";
import type { Slices } from "#apiserver/negotiation/slices.ts";
import { describeField } from "./descriptions.ts";
import type { Words } from "./words.ts";

/** A JSON document or a part of one. */
export type JsonObject = { readonly [key: string]: unknown };

/** Which OpenAPI is written. */
export type Flavour = "v2" | "v3";

const resourcePackage = "io.k8s.apimachinery.pkg.api.resource";
const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
const intstr = "io.k8s.apimachinery.pkg.util.intstr";

/** Definitions of what is no struct, and of Patch, which is whatever the media type says. */
const fixedDefinitions: Readonly<Record<string, Readonly<Record<Flavour, JsonObject>>>> = {
  [`${resourcePackage}.Quantity`]: {
    v2: { type: "string" },
    v3: { oneOf: [{ type: "string" }, { type: "number" }] },
  },
  [`${intstr}.IntOrString`]: {
    v2: { type: "string", format: "int-or-string" },
    v3: { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] },
  },
  [`${meta}.Time`]: same({ type: "string", format: "date-time" }),
  [`${meta}.MicroTime`]: same({ type: "string", format: "date-time" }),
  [`${meta}.Duration`]: same({ type: "string" }),
  [`${meta}.Patch`]: same({ type: "object" }),
};

const scalarReferences: Readonly<Partial<Record<ScalarSchema["type"], string>>> = {
  quantity: `${resourcePackage}.Quantity`,
  intOrString: `${intstr}.IntOrString`,
  time: `${meta}.Time`,
  microTime: `${meta}.MicroTime`,
  duration: `${meta}.Duration`,
};

/** Collects definitions, and those that they refer to. */
export class Definitions {
  readonly #facts: KindFacts;
  readonly #flavour: Flavour;
  readonly #byName = new Map<string, JsonObject>();
  readonly #waiting: StructSchema[] = [];
  readonly #groupVersions: ReadonlyMap<string, { readonly group: string; readonly version: string }>;

  /** What is said of kinds and fields. */
  readonly words: Words;

  constructor(facts: KindFacts, flavour: Flavour, words: Words) {
    this.#facts = facts;
    this.#flavour = flavour;
    this.words = words;
    this.#groupVersions = groupVersionsByPackage(facts);
  }

  /** A reference to a struct, whose definition is then part of the result. */
  reference(struct: StructSchema): JsonObject {
    const { name } = struct;
    if (!this.#byName.has(name)) {
      this.#byName.set(name, {});
      // A field may have its own map type for the struct; the definition has the struct's.
      this.#waiting.push(this.#facts.structOf(name) ?? struct);
    }
    return this.referenceTo(name);
  }

  /** A reference by name: to a struct of upstream's, or to one added with {@link add}. */
  referenceTo(name: string): JsonObject {
    const fixed = fixedDefinitions[name]?.[this.#flavour];
    if (fixed !== undefined) this.#byName.set(name, fixed);
    else if (!this.#byName.has(name)) {
      const struct = this.#facts.structOf(name);
      if (struct !== undefined) return this.reference(struct);
    }
    return { $ref: `${this.#flavour === "v2" ? "#/definitions/" : "#/components/schemas/"}${name}` };
  }

  /** Adds a definition made elsewhere, for instance a custom resource's. */
  add(name: string, definition: JsonObject): void {
    this.#byName.set(name, definition);
  }

  /** All definitions by name, in the names' order. */
  async finish(slices: Slices): Promise<JsonObject> {
    for (let struct = this.#waiting.pop(); struct !== undefined; struct = this.#waiting.pop()) {
      this.#byName.set(struct.name, this.#define(struct));
      if (slices.isOver()) await slices.next();
    }
    return Object.fromEntries([...this.#byName].sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  #define(struct: StructSchema): JsonObject {
    const isKind = ["apiVersion", "kind"].every((name) => {
      const field = struct.fields.get(name);
      return field !== undefined && field.protobufNumber === undefined;
    });
    const fields = [...struct.fields.values()];
    const required = fields.filter((field) => field.isRequired).map((field) => field.name);
    const properties = fields.map((field) => [field.name, this.#field(struct, field, isKind)]);
    const description = this.words.find(struct.name, "");
    return {
      ...(description === undefined ? {} : { description }),
      ...(fields.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
      ...(required.length === 0 ? {} : { required }),
      type: "object",
      ...(isKind ? this.#groupVersionKind(struct) : {}),
      ...(struct.mapType === "atomic" ? { "x-kubernetes-map-type": "atomic" } : {}),
    };
  }

  #groupVersionKind(struct: StructSchema): JsonObject {
    const dot = struct.name.lastIndexOf(".");
    const found = this.#groupVersions.get(struct.name.slice(0, dot));
    if (found === undefined) return {};
    return { "x-kubernetes-group-version-kind": [{ ...found, kind: struct.name.slice(dot + 1) }] };
  }

  #field(struct: StructSchema, field: FieldSchema, isKind: boolean): JsonObject {
    // The package that the words come from has none for fields that hold a struct: the struct's own serve.
    const description =
      describeField(this.words, struct.name, field.name, isKind) ??
      (field.schema.kind === "struct" ? this.words.find(field.schema.name, "") : undefined);
    const value = this.#default(field);
    const strategy =
      field.patchStrategy.length === 0 ? {} : { "x-kubernetes-patch-strategy": field.patchStrategy.join() };
    const beside = {
      ...(description === undefined ? {} : { description }),
      ...(value === undefined || this.#flavour === "v2" ? {} : { default: value }),
      ...strategy,
      ...this.#extensions(field.schema),
    };
    return this.#beside(this.#schema(field.schema), beside);
  }

  /** OpenAPI 3 allows nothing beside a $ref, so that it is wrapped where there is something. */
  #beside(schema: JsonObject, beside: JsonObject): JsonObject {
    if (Object.keys(beside).length === 0) return schema;
    if (this.#flavour === "v3" && "$ref" in schema) return { allOf: [schema], ...beside };
    return { ...schema, ...beside };
  }

  #schema(schema: Schema): JsonObject {
    switch (schema.kind) {
      case "struct":
        return this.reference(schema);
      case "list":
        return { type: "array", items: this.#inner(schema.items) };
      case "map":
        return { type: "object", additionalProperties: this.#inner(schema.values) };
      case "scalar":
        return this.#scalar(schema);
    }
  }

  #inner(schema: Schema): JsonObject {
    const value = zeroDefault(schema);
    return this.#beside(this.#schema(schema), value === undefined || this.#flavour === "v2" ? {} : { default: value });
  }

  #scalar(schema: ScalarSchema): JsonObject {
    const reference = scalarReferences[schema.type];
    if (reference !== undefined) return this.referenceTo(reference);
    switch (schema.type) {
      case "boolean":
        return { type: "boolean" };
      case "int32":
      case "int64":
        return { type: "integer", format: schema.type };
      case "double":
        return { type: "number", format: "double" };
      case "bytes":
        return { type: "string", format: "byte" };
      case "any":
        return schema.union === undefined ? { type: "object" } : {};
      default:
        return schema.enum === undefined ? { type: "string" } : { type: "string", enum: [...schema.enum].sort() };
    }
  }

  #extensions(schema: Schema): JsonObject {
    if (schema.kind === "list") return listExtensions(schema);
    if (schema.kind === "scalar") return {};
    const usual = schema.kind === "struct" ? this.#facts.structOf(schema.name)?.mapType : "granular";
    return schema.mapType === usual ? {} : { "x-kubernetes-map-type": schema.mapType };
  }

  #default(field: FieldSchema): unknown {
    if (field.default !== undefined) return field.default;
    if (field.isPointer === true || (field.omitEmpty && field.schema.kind !== "struct")) return undefined;
    return zeroDefault(field.schema);
  }
}

function listExtensions(schema: ListSchema): JsonObject {
  return {
    "x-kubernetes-list-type": schema.listType,
    ...(schema.mapKeys.length === 0 ? {} : { "x-kubernetes-list-map-keys": schema.mapKeys }),
    ...(schema.patchMergeKey === undefined ? {} : { "x-kubernetes-patch-merge-key": schema.patchMergeKey }),
  };
}

/** What upstream shows as the default of values that Go cannot leave out. */
function zeroDefault(schema: Schema): unknown {
  if (schema.kind === "struct") return {};
  if (schema.kind !== "scalar") return undefined;
  switch (schema.type) {
    case "string":
      return "";
    case "boolean":
      return false;
    case "int32":
    case "int64":
    case "double":
      return 0;
    default:
      return undefined;
  }
}

function groupVersionsByPackage(facts: KindFacts): Map<string, { group: string; version: string }> {
  const byPackage = new Map([[meta, { group: "", version: "v1" }]]);
  for (const { group, version, kind } of facts.resources) {
    const name = facts.schemaOf(group, version, kind)?.name ?? "";
    byPackage.set(name.slice(0, name.lastIndexOf(".")), { group, version });
  }
  return byPackage;
}

function same(definition: JsonObject): Record<Flavour, JsonObject> {
  return { v2: definition, v3: definition };
}
