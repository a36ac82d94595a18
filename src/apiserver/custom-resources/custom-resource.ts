/**
 * From a CustomResourceDefinition to what is served of it: one entry for each served version, all on one stored resource.
 */
import type { FieldError } from "#apimachinery/field-error.ts";
import { invalid } from "#apimachinery/field-error.ts";
import { type JsonObject, jsonEqual } from "#apimachinery/json.ts";
import { formatApiVersion, type Json, type KubeObject } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { CustomResourceSchema } from "#apimachinery/structural-schema/custom-resource-schema.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
} from "#api/generated/types/apiextensions-v1.ts";
import type { ResourceFacts, SubresourceFacts } from "#api/kind-facts.ts";
import { customTablePrinter } from "#api/printers/custom.ts";
import type { Draft, KindStrategy, TablePrinter } from "#api/strategy.ts";
import { createServedResource, type ServedResource } from "#apiserver/registry/served-resource.ts";
import { createStoredResource, type StoredResource } from "#apiserver/storage/stored-resource.ts";
import { isEnding } from "./names.ts";
import { valueAt } from "./simple-path.ts";

const allVerbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
// Finalizers must still be taken away.
const endingVerbs = ["delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const subresourceVerbs = ["get", "patch", "update"];

/** What a definition serves. `before` is what it was served as, when it was: objects that are stored and read as before stay in the cache. */
export function servedVersions(
  definition: CustomResourceDefinition,
  objectMeta: StructSchema,
  before: { readonly definition: CustomResourceDefinition; readonly stored: StoredResource } | undefined,
): readonly ServedResource[] {
  const stored = storedResource(definition, objectMeta, before);
  return definition.spec.versions
    .filter(({ served }) => served)
    .map((version) => servedVersion(definition, version, { objectMeta, stored }));
}

function storedResource(
  definition: CustomResourceDefinition,
  objectMeta: StructSchema,
  before: { readonly definition: CustomResourceDefinition; readonly stored: StoredResource } | undefined,
): StoredResource {
  if (before !== undefined && jsonEqual(storedForm(definition), storedForm(before.definition))) return before.stored;
  const { group, names, scope, versions } = definition.spec;
  const storage = versions.find((version) => version.storage);
  const fields = [...new Set(versions.flatMap((version) => selectablePaths(version)))];
  const schema = schemaOf(definition, storage, objectMeta);
  return createStoredResource({
    groupResource: `${names.plural}.${group}`,
    isNamespaced: scope === "Namespaced",
    kind: names.kind,
    apiVersion: formatApiVersion({ group, version: storage?.name ?? "" }),
    selectableFields: (object) =>
      Object.fromEntries(fields.map((path) => [path, textOf(valueAt(object as JsonObject, `.${path}`))])),
    normalize: (object) => schema.withDefaults(object as JsonObject) as KubeObject,
  });
}

/** All that decides how objects are stored and read. */
function storedForm({ spec }: CustomResourceDefinition): Json {
  const storage = spec.versions.find((version) => version.storage);
  const form = [spec.names, spec.scope, storage?.name, storage?.schema, spec.versions.map(selectablePaths)];
  return form as unknown as Json;
}

function schemaOf(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion | undefined,
  objectMeta: StructSchema,
): CustomResourceSchema {
  const props = version?.schema?.openAPIV3Schema as JsonSchemaProps | undefined;
  return new CustomResourceSchema(definition.spec.preserveUnknownFields === true ? undefined : props, objectMeta);
}

function servedVersion(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
  { objectMeta, stored }: { readonly objectMeta: StructSchema; readonly stored: StoredResource },
): ServedResource {
  const props = version.schema?.openAPIV3Schema;
  const keepsAll = definition.spec.preserveUnknownFields === true;
  const schema = schemaOf(definition, version, objectMeta);
  return createServedResource({
    facts: factsOf(definition, version),
    stored,
    strategy: strategyOf(definition, version, schema),
    schema: schema.schema,
    isCustom: true,
    selectableFieldNames: selectablePaths(version),
    ...(version.subresources?.scale === undefined ? {} : { scale: version.subresources.scale }),
    openApi: {
      listKind: definition.spec.names.listKind ?? `${definition.spec.names.kind}List`,
      schema: props as JsonObject | undefined,
      ...(keepsAll ? { preservesUnknownFields: true } : {}),
      ...(version.selectableFields === undefined ? {} : { selectableFields: selectablePaths(version) }),
    },
  });
}

function factsOf(definition: CustomResourceDefinition, version: CustomResourceDefinitionVersion): ResourceFacts {
  const { group, scope, versions } = definition.spec;
  const names = definition.status?.acceptedNames ?? definition.spec.names;
  return {
    group,
    version: version.name,
    resource: names.plural,
    singular: names.singular ?? "",
    kind: names.kind,
    isNamespaced: scope === "Namespaced",
    verbs: isEnding(definition) ? endingVerbs : allVerbs,
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    subresources: subresourcesOf(definition, version),
    storageVersion: versions.find(({ storage }) => storage)?.name ?? version.name,
    isEnabledByDefault: true,
  };
}

function subresourcesOf(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
): readonly SubresourceFacts[] {
  const { status, scale } = version.subresources ?? {};
  const { group, names } = definition.spec;
  const facts: SubresourceFacts[] = [];
  if (status !== undefined) {
    facts.push({ name: "status", group, version: version.name, kind: names.kind, verbs: subresourceVerbs });
  }
  if (scale !== undefined) {
    facts.push({ name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: subresourceVerbs });
  }
  return facts;
}

function strategyOf(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
  schema: CustomResourceSchema,
): KindStrategy {
  const hasStatus = version.subresources?.status !== undefined;
  const check = (object: KubeObject, old?: KubeObject): readonly FieldError[] => [
    ...schema.validate(object as JsonObject, old as JsonObject | undefined),
    ...scaleErrors(object as JsonObject, version),
  ];
  return {
    applyDefaults: (draft) => replaceContent(draft, schema.withDefaults(draft as JsonObject)),
    prepareForCreate(draft) {
      if (hasStatus) delete draft["status"];
    },
    prepareForStatusUpdate(draft, old) {
      // Of metadata only the owners of fields may change by a write to the status.
      const { managedFields } = draft["metadata"] as Draft;
      draft["metadata"] = { ...old.metadata, ...(managedFields === undefined ? {} : { managedFields }) };
    },
    validate: check,
    validateUpdate: check,
    validateStatusUpdate: check,
    warnings: () => warningsOf(definition, version),
    allowsUnconditionalUpdate: false,
    hasStatus,
    table: tableOf(version),
  };
}

function warningsOf(definition: CustomResourceDefinition, version: CustomResourceDefinitionVersion): readonly string[] {
  if (version.deprecated !== true) return [];
  const { group, names } = definition.spec;
  return [version.deprecationWarning ?? `${group}/${version.name} ${names.kind} is deprecated`];
}

function scaleErrors(object: JsonObject, version: CustomResourceDefinitionVersion): readonly FieldError[] {
  const path = version.subresources?.scale?.specReplicasPath;
  const replicas = path === undefined ? undefined : valueAt(object, path);
  if (path === undefined || replicas === undefined || replicas === null) return [];
  if (typeof replicas !== "number" || replicas < 0) {
    return [invalid(path, replicas, "should be a non-negative integer")];
  }
  return replicas > 2147483647 ? [invalid(path, replicas, "should be less than or equal to 2147483647")] : [];
}

/** A column whose path cannot be read shows nothing but name and age, instead of making the resource unusable. */
function tableOf(version: CustomResourceDefinitionVersion): TablePrinter {
  try {
    return customTablePrinter(version.additionalPrinterColumns);
  } catch {
    return customTablePrinter(undefined);
  }
}

function selectablePaths(version: CustomResourceDefinitionVersion): readonly string[] {
  return (version.selectableFields ?? []).map(({ jsonPath }) => jsonPath.replace(/^\./, ""));
}

function textOf(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}

function replaceContent(draft: Draft, content: JsonObject): void {
  if (content === draft) return;
  for (const key of Object.keys(draft)) if (!Object.hasOwn(content, key)) delete draft[key];
  Object.assign(draft, content);
}
