/**
 * Schemas of custom resources as OpenAPI shows them: the CustomResourceDefinition's own, with apiVersion, kind and metadata added at the root and in embedded objects. For
 * version 2 they lose what it does not know, as apiextensions-apiserver's pkg/controller/openapi does it, because old kubectls stumble over the rest.
 */
import type { ResourceFacts } from "#api/kind-facts.ts";
import { describeField } from "./descriptions.ts";
import type { Definitions, Flavour, JsonObject } from "./definitions.ts";

/** What a CustomResourceDefinition says of one version. */
export type CustomKind = {
  readonly listKind: string;
  /** openAPIV3Schema of the version; undefined where it has none. */
  readonly schema: JsonObject | undefined;
  /** spec.preserveUnknownFields of old definitions. */
  readonly preservesUnknownFields?: boolean;
  /** jsonPaths of selectableFields, without the dot in front. */
  readonly selectableFields?: readonly string[];
};

type MutableObject = { [key: string]: unknown };

const metaPackage = "io.k8s.apimachinery.pkg.apis.meta.v1";
const preserve = "x-kubernetes-preserve-unknown-fields";
const embedded = "x-kubernetes-embedded-resource";

/** "com.example.stable.v1.CronTab" for CronTab of stable.example.com/v1. */
export function customDefinitionName(facts: ResourceFacts, kind: string = facts.kind): string {
  return [...facts.group.split(".").reverse(), facts.version, kind].join(".");
}

/** Adds the definitions of a custom kind and of its list. */
export function addCustomKind(
  definitions: Definitions,
  flavour: Flavour,
  facts: ResourceFacts,
  custom: CustomKind,
): void {
  const name = customDefinitionName(facts);
  definitions.add(name, customDefinition(definitions, flavour, facts, custom));
  definitions.add(customDefinitionName(facts, custom.listKind), {
    description: `${custom.listKind} is a list of ${facts.kind}`,
    type: "object",
    required: ["items"],
    properties: {
      ...typeMeta(definitions),
      items: {
        description: describeField(definitions.words, "", "items", true),
        type: "array",
        items: definitions.referenceTo(name),
      },
      metadata: metadata(definitions, flavour, `${metaPackage}.ListMeta`),
    },
    ...groupVersionKind(facts, custom.listKind),
  });
}

function customDefinition(
  definitions: Definitions,
  flavour: Flavour,
  facts: ResourceFacts,
  custom: CustomKind,
): JsonObject {
  const { schema } = custom;
  const beside = {
    ...groupVersionKind(facts, facts.kind),
    ...(custom.selectableFields?.length
      ? { "x-kubernetes-selectable-fields": custom.selectableFields.map((fieldPath) => ({ fieldPath })) }
      : {}),
  };
  const isOpen = schema?.[preserve] === true || custom.preservesUnknownFields === true;
  if (schema === undefined || (flavour === "v2" && isOpen)) return { type: "object", ...beside };
  const converted = withEmbedded(flavour === "v2" ? toVersion2(schema) : schema, definitions, flavour);
  const properties = {
    ...(converted["properties"] as JsonObject | undefined),
    ...typeMeta(definitions),
    metadata: metadata(definitions, flavour, `${metaPackage}.ObjectMeta`),
  };
  return { ...converted, properties, ...beside };
}

/** Adds apiVersion, kind and metadata where a whole object is embedded. */
function withEmbedded(schema: JsonObject, definitions: Definitions, flavour: Flavour): JsonObject {
  const isEmbedded = schema[embedded] === true;
  const copy = mapChildren(schema, (child) => withEmbedded(child, definitions, flavour));
  if (!isEmbedded || (flavour === "v2" && schema[preserve] === true)) return copy;
  const objectMeta = metadata(definitions, flavour, `${metaPackage}.ObjectMeta`);
  return {
    ...copy,
    properties: { ...(copy["properties"] as JsonObject | undefined), ...typeMeta(definitions), metadata: objectMeta },
  };
}

function toVersion2(schema: JsonObject): JsonObject {
  const copy: MutableObject = { ...schema };
  for (const junctor of ["allOf", "oneOf", "anyOf", "not"]) delete copy[junctor];
  if (copy["nullable"] === true) {
    delete copy["type"];
    delete copy["items"];
    delete copy["properties"];
  }
  delete copy["nullable"];
  if (copy[preserve] === true) {
    delete copy["items"];
    delete copy["properties"];
    if (copy["type"] === "object") delete copy["type"];
  }
  if (copy["items"] === undefined && copy["type"] === "array") delete copy["type"];
  dropNullableFromRequired(copy);
  return mapChildren(copy, toVersion2);
}

function dropNullableFromRequired(schema: MutableObject): void {
  const required = schema["required"];
  if (!Array.isArray(required)) return;
  const properties = (schema["properties"] ?? {}) as Readonly<Record<string, JsonObject>>;
  const kept = required.filter((name: string) => properties[name]?.["nullable"] !== true);
  const values = schema["additionalProperties"] as JsonObject | undefined;
  if (kept.length === 0 || values?.["nullable"] === true) delete schema["required"];
  else schema["required"] = kept;
}

/** A copy with the schemas of properties, items and additionalProperties replaced. */
function mapChildren(schema: JsonObject, change: (child: JsonObject) => JsonObject): JsonObject {
  const copy: MutableObject = { ...schema };
  const properties = schema["properties"];
  if (isObject(properties)) {
    copy["properties"] = Object.fromEntries(
      Object.entries(properties).map(([name, child]) => [name, change(child as JsonObject)]),
    );
  }
  for (const key of ["items", "additionalProperties"]) {
    const child = schema[key];
    if (isObject(child)) copy[key] = change(child);
  }
  return copy;
}

function typeMeta({ words }: Definitions): JsonObject {
  return {
    apiVersion: { description: describeField(words, "", "apiVersion", true), type: "string" },
    kind: { description: describeField(words, "", "kind", true), type: "string" },
  };
}

function metadata(definitions: Definitions, flavour: Flavour, name: string): JsonObject {
  const reference = definitions.referenceTo(name);
  const description = describeField(definitions.words, "", "metadata", true);
  return flavour === "v2" ? { ...reference, description } : { allOf: [reference], description };
}

function groupVersionKind({ group, version }: ResourceFacts, kind: string): JsonObject {
  return { "x-kubernetes-group-version-kind": [{ group, version, kind }] };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
