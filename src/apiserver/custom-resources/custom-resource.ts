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
import { readObject } from "#apimachinery/codecs/object-reader.ts";
import { customTablePrinter } from "#api/printers/custom.ts";
import type { Draft, KindStrategy, TablePrinter } from "#api/strategy.ts";
import {
  createServedResource,
  type ServedResource,
  type VersionConversion,
} from "#apiserver/registry/served-resource.ts";
import { createStoredResource, type StoredResource } from "#apiserver/storage/stored-resource.ts";
import type { ConversionWebhook } from "./conversion-webhook.ts";
import { isEnding } from "./names.ts";
import { valueAt } from "./simple-path.ts";

const allVerbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
// Finalizers must still be taken away.
const endingVerbs = ["delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const subresourceVerbs = ["get", "patch", "update"];

/** What a definition was served as. */
export type ServedBefore = { readonly definition: CustomResourceDefinition; readonly stored: StoredResource };

/** What all versions of a definition are made with. */
export type VersionParts = {
  readonly objectMeta: StructSchema;
  /** Objects that are stored and read as before stay in the cache. */
  readonly before: ServedBefore | undefined;
  /** Asked where the definition wants it. */
  readonly webhook: ConversionWebhook;
};

/** What a definition serves. */
export function servedVersions(definition: CustomResourceDefinition, parts: VersionParts): readonly ServedResource[] {
  const schemas = new Map(
    definition.spec.versions.map((version) => [version.name, schemaOf(definition, version, parts.objectMeta)]),
  );
  const stored = storedResource(definition, schemas, parts.before);
  return definition.spec.versions
    .filter(({ served }) => served)
    .map((version) => servedVersion(definition, version, { schemas, stored, webhook: parts.webhook }));
}

/** True when a webhook converts between the definition's versions. */
function isByWebhook({ spec }: CustomResourceDefinition): boolean {
  return spec.conversion?.strategy === "Webhook";
}

type Schemas = ReadonlyMap<string, CustomResourceSchema>;

function storedResource(
  definition: CustomResourceDefinition,
  schemas: Schemas,
  before: ServedBefore | undefined,
): StoredResource {
  if (before !== undefined && jsonEqual(storedForm(definition), storedForm(before.definition))) return before.stored;
  const { group, names, scope, versions } = definition.spec;
  const storage = versions.find((version) => version.storage);
  const fields = [...new Set(versions.flatMap((version) => selectablePaths(version)))];
  const keepsVersions = isByWebhook(definition);
  // What a webhook converts is read with the defaults of the version that it was stored in.
  const schemaFor = (object: KubeObject): CustomResourceSchema | undefined =>
    (keepsVersions ? schemas.get((object.apiVersion ?? "").split("/").at(-1) ?? "") : undefined) ??
    schemas.get(storage?.name ?? "");
  return createStoredResource({
    groupResource: `${names.plural}.${group}`,
    isNamespaced: scope === "Namespaced",
    kind: names.kind,
    apiVersion: formatApiVersion({ group, version: storage?.name ?? "" }),
    selectableFields: (object) =>
      Object.fromEntries(fields.map((path) => [path, textOf(valueAt(object as JsonObject, `.${path}`))])),
    normalize: (object) => (schemaFor(object)?.withDefaults(object as JsonObject) ?? object) as KubeObject,
    ...(keepsVersions ? { keepsVersions } : {}),
  });
}

/** All that decides how objects are stored and read. */
function storedForm(definition: CustomResourceDefinition): Json {
  const { spec } = definition;
  const storage = spec.versions.find((version) => version.storage);
  const form: unknown[] = [spec.names, spec.scope, storage?.name, storage?.schema, spec.versions.map(selectablePaths)];
  // Objects of all versions may be stored.
  if (isByWebhook(definition)) form.push(spec.versions.map(({ name, schema }) => ({ name, schema })));
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
  parts: { readonly schemas: Schemas; readonly stored: StoredResource; readonly webhook: ConversionWebhook },
): ServedResource {
  const props = version.schema?.openAPIV3Schema;
  const keepsAll = definition.spec.preserveUnknownFields === true;
  const { stored } = parts;
  const schema = parts.schemas.get(version.name) as CustomResourceSchema;
  const conversion = conversionOf(definition, version, parts);
  return createServedResource({
    facts: factsOf(definition, version),
    stored,
    strategy: strategyOf(definition, version, schema),
    schema: () => schema.schema,
    isCustom: true,
    ...(conversion === undefined ? {} : { conversion }),
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

/** Absent where all objects are stored in this version, or differ from it in apiVersion only. */
function conversionOf(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
  {
    schemas,
    stored,
    webhook,
  }: { readonly schemas: Schemas; readonly stored: StoredResource; readonly webhook: ConversionWebhook },
): VersionConversion | undefined {
  const isElsewhere = definition.status?.storedVersions?.some((name) => name !== version.name) ?? true;
  if (!isByWebhook(definition) || (version.storage && !isElsewhere)) return undefined;
  const apiVersion = formatApiVersion({ group: definition.spec.group, version: version.name });
  const own = schemas.get(version.name);
  const storage = schemas.get(definition.spec.versions.find((each) => each.storage)?.name ?? "");
  return {
    async toStored(object) {
      const converted = await webhook.convertOne(object, stored.apiVersion);
      if (converted === object) return object;
      const known = pruned(storage, converted);
      return (storage?.withDefaults(known as JsonObject) ?? known) as KubeObject;
    },
    async fromStored(objects) {
      const [only] = objects;
      const converted =
        objects.length === 1 && only !== undefined
          ? [await webhook.convertOne(only, apiVersion)]
          : await webhook.convertList(objects, apiVersion);
      return converted.map((object, index) => (object === objects[index] ? object : pruned(own, object)));
    },
    converted: createStoredResource({ ...stored, apiVersion }),
  };
}

/** Without the fields that the schema does not know. What a webhook makes of an object is not validated: a wrong type stays. */
function pruned(schema: CustomResourceSchema | undefined, object: KubeObject): KubeObject {
  if (schema === undefined) return object;
  try {
    return readObject(schema.schema, object, "uncounted").object as KubeObject;
  } catch {
    return object;
  }
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
  let table: TablePrinter | undefined;
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
    ...deprecationOf(definition, version),
    allowsUnconditionalUpdate: false,
    hasStatus,
    get table() {
      table ??= tableOf(version);
      return table;
    },
  };
}

function deprecationOf(
  definition: CustomResourceDefinition,
  version: CustomResourceDefinitionVersion,
): Pick<KindStrategy, "deprecationWarning"> {
  if (version.deprecated !== true) return {};
  const { group, names } = definition.spec;
  return { deprecationWarning: version.deprecationWarning ?? `${group}/${version.name} ${names.kind} is deprecated` };
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
