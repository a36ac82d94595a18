/**
 * Validation of CustomResourceDefinitions. Rules and texts as apiextensions-apiserver's validation; like there, what all versions have in common is
 * spoken of as `spec.validation`, `spec.subresources` and so on. Schemas are in validate-schema.ts.
 */
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "#apimachinery/field-error.ts";
import { jsonEqual } from "#apimachinery/json.ts";
import { isDns1035Label, isDns1123Subdomain } from "#apimachinery/names.ts";
import type {
  CustomResourceColumnDefinition,
  CustomResourceConversion,
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionSpec,
  CustomResourceDefinitionVersion,
  CustomResourceSubresources,
  SelectableField,
} from "#api/generated/types/apiextensions-v1.ts";
import { propsOf, schemaAt } from "./schema-facts.ts";
import { validateSchema } from "./validate-schema.ts";

const maxSelectableFields = 8;
const columnTypes = ["boolean", "date", "integer", "number", "string"];
const columnFormats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/** What is wrong with a new definition. */
export function validateDefinition(definition: CustomResourceDefinition): readonly FieldError[] {
  return [
    ...nameErrors(definition),
    ...specErrors(definition.spec),
    ...validateNames(definition.status?.acceptedNames, "status.acceptedNames"),
    ...storedVersionErrors(definition),
    ...approvalErrors(definition, undefined),
    ...preserveErrors(definition.spec, undefined),
  ];
}

/** What is wrong with a changed definition. What was established may not change its scope and kind. */
export function validateDefinitionUpdate(
  definition: CustomResourceDefinition,
  old: CustomResourceDefinition,
): readonly FieldError[] {
  const { spec } = definition;
  const errors = [
    ...specErrors(spec),
    ...validateNames(definition.status?.acceptedNames, "status.acceptedNames"),
    ...storedVersionErrors(definition),
    ...approvalErrors(definition, old),
    ...preserveErrors(spec, old.spec),
  ];
  const immutable = (now: string, before: string, field: string): void => {
    if (now !== before) errors.push(invalid(field, now, "field is immutable"));
  };
  if (isEstablished(old)) {
    immutable(spec.scope, old.spec.scope, "spec.scope");
    immutable(spec.names.kind, old.spec.names.kind, "spec.names.kind");
  }
  immutable(spec.group, old.spec.group, "spec.group");
  immutable(spec.names.plural, old.spec.names.plural, "spec.names.plural");
  return errors;
}

/** What is wrong with names, asked for or accepted. */
export function validateNames(names: CustomResourceDefinitionNames | undefined, field: string): readonly FieldError[] {
  if (names === undefined) return [];
  const errors: FieldError[] = [];
  const label = (value: string | undefined, name: string): void => {
    const problems = value ? isDns1035Label(value) : [];
    if (problems.length > 0) errors.push(invalid(`${field}.${name}`, value, problems.join(",")));
  };
  const kind = (value: string | undefined, name: string): void => {
    const problems = value ? isDns1035Label(value.toLowerCase()) : [];
    if (problems.length === 0) return;
    const why = `may have mixed case, but should otherwise match: ${problems.join(",")}`;
    errors.push(invalid(`${field}.${name}`, value, why));
  };
  label(names.plural, "plural");
  label(names.singular, "singular");
  kind(names.kind, "kind");
  kind(names.listKind, "listKind");
  names.shortNames?.forEach((name, index) => label(name, `shortNames[${index}]`));
  if (names.kind && names.kind === names.listKind) {
    errors.push(invalid(`${field}.listKind`, names.listKind, "kind and listKind may not be the same"));
  }
  names.categories?.forEach((name, index) => label(name, `categories[${index}]`));
  return errors;
}

/** True when the definition's resources are served. */
export function isEstablished(definition: CustomResourceDefinition): boolean {
  const conditions = definition.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Established" && status === "True");
}

function nameErrors({ metadata, spec }: CustomResourceDefinition): readonly FieldError[] {
  const name = metadata?.name ?? "";
  if (name === `${spec.names.plural}.${spec.group}`) return [];
  return [invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')];
}

function specErrors(spec: CustomResourceDefinitionSpec): FieldError[] {
  const errors: FieldError[] = [...groupErrors(spec.group), ...scopeErrors(spec.scope)];
  const versions = spec.versions ?? [];
  versions.forEach((version, index) => {
    if (version.schema?.openAPIV3Schema === undefined) {
      errors.push(required(`spec.versions[${index}].schema.openAPIV3Schema`));
    }
  });
  versions.forEach((version, index) => {
    const problems = isDns1035Label(version.name ?? "");
    if (problems.length > 0) {
      errors.push(invalid(`spec.versions[${index}].name`, version.name ?? "", problems.join(",")));
    }
  });
  errors.push(...versionErrors(versions));
  if (new Set(versions.map(({ name }) => name)).size < versions.length) {
    errors.push(invalid("spec.versions", versions, "must contain unique version names"));
  }
  if (versions.filter(({ storage }) => storage).length !== 1) {
    errors.push(invalid("spec.versions", versions, "must have exactly one version marked as storage version"));
  }
  for (const key of ["plural", "singular", "kind", "listKind"] as const) {
    if (!spec.names?.[key]) errors.push(required(`spec.names.${key}`));
  }
  errors.push(...validateNames(spec.names, "spec.names"), ...conversionErrors(spec));
  return errors;
}

function groupErrors(group: string): readonly FieldError[] {
  if (!group) return [required("spec.group")];
  const problems = isDns1123Subdomain(group);
  if (problems.length > 0) return [invalid("spec.group", group, problems.join(","))];
  return group.includes(".") ? [] : [invalid("spec.group", group, "should be a domain with at least one dot")];
}

function scopeErrors(scope: string): readonly FieldError[] {
  if (!scope) return [required("spec.scope")];
  return scope === "Cluster" || scope === "Namespaced"
    ? []
    : [notSupported("spec.scope", scope, ["Cluster", "Namespaced"])];
}

/** Parts that are the same in all versions are told once, under the spec. */
function versionErrors(versions: readonly CustomResourceDefinitionVersion[]): readonly FieldError[] {
  const errors: FieldError[] = [];
  const [first] = versions;
  if (first === undefined) return errors;
  const isCommon = (key: keyof CustomResourceDefinitionVersion): boolean =>
    versions.every((version) => jsonEqual(version[key] ?? null, first[key] ?? null));
  versions.forEach((version, index) => {
    const isFirst = index === 0;
    const at = (key: keyof CustomResourceDefinitionVersion, common: string): string | undefined => {
      if (!isCommon(key)) return `spec.versions[${index}].${key}`;
      return isFirst ? `spec.${common}` : undefined;
    };
    errors.push(...deprecationErrors(version, `spec.versions[${index}].deprecationWarning`));
    const schemaField = at("schema", "validation");
    const schema = version.schema?.openAPIV3Schema;
    if (schemaField !== undefined && schema !== undefined) {
      const hasStatus = version.subresources?.status !== undefined;
      errors.push(...validateSchema(propsOf(schema), `${schemaField}.openAPIV3Schema`, { hasStatus }));
    }
    const subresourceField = at("subresources", "subresources");
    if (subresourceField !== undefined) errors.push(...subresourceErrors(version.subresources, subresourceField));
    const columnField = at("additionalPrinterColumns", "additionalPrinterColumns");
    version.additionalPrinterColumns?.forEach((column, number) => {
      if (columnField !== undefined) errors.push(...columnErrors(column, `${columnField}[${number}]`));
    });
    const selectableField = at("selectableFields", "selectableFields");
    if (selectableField !== undefined) errors.push(...selectableErrors(version, selectableField));
  });
  return errors;
}

function deprecationErrors(version: CustomResourceDefinitionVersion, field: string): readonly FieldError[] {
  const { deprecated, deprecationWarning: warning } = version;
  if (warning === undefined) return [];
  if (deprecated !== true) return [invalid(field, warning, "can only be set for deprecated versions")];
  if (warning === "") return [invalid(field, warning, "must not be an empty string")];
  if (Buffer.byteLength(warning) > 256) return [invalid(field, warning, "must be <= 256 characters long")];
  const index = Array.from(warning).findIndex((char) => /[\p{Cc}\p{Cn}\p{Zl}\p{Zp}]/u.test(char));
  if (index < 0) return [];
  const why = `must only contain printable UTF-8 characters; non-printable character found at index ${index}`;
  return [invalid(field, warning, why)];
}

function subresourceErrors(subresources: CustomResourceSubresources | undefined, field: string): readonly FieldError[] {
  const scale = subresources?.scale;
  if (scale === undefined || scale === null) return [];
  const errors: FieldError[] = [];
  const path = (name: string, value: string | undefined, roots: readonly string[], why: string): void => {
    const at = `${field}.scale.${name}`;
    if (!value) errors.push(required(at));
    else if (!value.startsWith(".")) errors.push(invalid(at, value, "must be a simple json path starting with ."));
    else if (!roots.some((root) => value.startsWith(root))) errors.push(invalid(at, value, why));
  };
  path("specReplicasPath", scale.specReplicasPath, [".spec."], "should be a json path under .spec");
  path("statusReplicasPath", scale.statusReplicasPath, [".status."], "should be a json path under .status");
  if (scale.labelSelectorPath) {
    const why = "should be a json path under either .spec or .status";
    path("labelSelectorPath", scale.labelSelectorPath, [".spec.", ".status."], why);
  }
  return errors;
}

function columnErrors(column: CustomResourceColumnDefinition, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { name, type, format, jsonPath } = column;
  if (!name) errors.push(required(`${field}.name`));
  const types = `must be one of ${columnTypes.join(",")}`;
  if (!type) errors.push(required(`${field}.type`, types));
  else if (!columnTypes.includes(type)) errors.push(invalid(`${field}.type`, type, types));
  if (format && !columnFormats.includes(format)) {
    errors.push(invalid(`${field}.format`, format, `must be one of ${columnFormats.join(",")}`));
  }
  if (!jsonPath) errors.push(required(`${field}.JSONPath`));
  else if (!jsonPath.startsWith(".")) {
    errors.push(invalid(`${field}.JSONPath`, jsonPath, "must be a simple json path starting with ."));
  }
  return errors;
}

function selectableErrors(version: CustomResourceDefinitionVersion, field: string): readonly FieldError[] {
  const fields: readonly SelectableField[] = version.selectableFields ?? [];
  const schema = version.schema?.openAPIV3Schema;
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  fields.forEach(({ jsonPath }, index) => {
    const at = `${field}[${index}].jsonPath`;
    if (!jsonPath) {
      errors.push(required(at));
      return;
    }
    const found = schema === undefined ? undefined : schemaAt(propsOf(schema), jsonPath);
    if (!jsonPath.startsWith(".") || found === undefined) {
      errors.push(invalid(at, jsonPath, "is an invalid path: does not refer to a valid field"));
      return;
    }
    if (jsonPath.startsWith(".metadata")) errors.push(invalid(at, jsonPath, "must not point to fields in metadata"));
    if (!["string", "boolean", "integer"].includes(found.type ?? "")) {
      const why =
        "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
      errors.push(invalid(at, jsonPath, why));
    }
    if (seen.has(jsonPath)) errors.push(duplicate(at, jsonPath));
    seen.add(jsonPath);
  });
  if (seen.size > maxSelectableFields) {
    const message = `Too many: ${seen.size}: must have at most ${maxSelectableFields} items`;
    errors.push({ type: "FieldValueTooMany", field, message });
  }
  return errors;
}

function conversionErrors({ conversion, preserveUnknownFields }: CustomResourceDefinitionSpec): readonly FieldError[] {
  if (conversion === undefined) return [];
  const { strategy, webhook } = conversion;
  const errors: FieldError[] = [];
  if (!strategy) errors.push(required("spec.conversion.strategy"));
  else if (strategy !== "None" && strategy !== "Webhook") {
    errors.push(notSupported("spec.conversion.strategy", strategy, ["None", "Webhook"]));
  }
  if (strategy !== "None" && preserveUnknownFields === true) {
    errors.push(invalid("spec.conversion.strategy", strategy, "must be None if spec.preserveUnknownFields is true"));
  }
  if (strategy === "Webhook") errors.push(...webhookErrors(conversion));
  else if (webhook !== undefined) {
    errors.push(
      forbiddenField("spec.conversion.webhookClientConfig", "should not be set when strategy is not set to Webhook"),
    );
  }
  return errors;
}

function webhookErrors({ webhook }: CustomResourceConversion): readonly FieldError[] {
  const field = "spec.conversion.webhookClientConfig";
  const errors: FieldError[] = [];
  const config = webhook?.clientConfig;
  if (config === undefined) errors.push(required(field, "required when strategy is set to Webhook"));
  else if ((config.url === undefined) === (config.service === undefined)) {
    errors.push(required(field, "exactly one of url or service is required"));
  } else if (config.url !== undefined && !config.url.startsWith("https://")) {
    const scheme = config.url.split(":")[0] ?? "";
    errors.push(
      invalid(`${field}.url`, scheme, "'https' is the only allowed URL scheme; desired format: https://host[/path]"),
    );
  } else if (config.service !== undefined) {
    if (!config.service.name) errors.push(required(`${field}.service.name`, "service name is required"));
    if (!config.service.namespace) errors.push(required(`${field}.service.namespace`, "service namespace is required"));
  }
  const versions = webhook?.conversionReviewVersions ?? [];
  const at = "spec.conversion.conversionReviewVersions";
  if (versions.length === 0) errors.push(required(at));
  else if (!versions.includes("v1") && !versions.includes("v1beta1")) {
    errors.push(invalid(at, versions, "must include at least one of v1, v1beta1"));
  }
  return errors;
}

function storedVersionErrors({ spec, status }: CustomResourceDefinition): readonly FieldError[] {
  const field = "status.storedVersions";
  const stored = status?.storedVersions ?? [];
  if (stored.length === 0) return [invalid(field, stored, "must have at least one stored version")];
  const errors: FieldError[] = [];
  const names = new Set((spec.versions ?? []).map(({ name }) => name));
  const storage = (spec.versions ?? []).find((version) => version.storage)?.name;
  if (storage !== undefined && !stored.includes(storage)) {
    errors.push(invalid(field, stored, `must have the storage version ${storage}`));
  }
  stored.forEach((version, index) => {
    if (names.has(version)) return;
    const why = `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`;
    errors.push(invalid(`${field}[${index}]`, version, why));
  });
  return errors;
}

const approval = "api-approved.kubernetes.io";

/** Kubernetes' own groups need an approval: nobody takes their names by mistake. */
function approvalErrors(
  definition: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
): readonly FieldError[] {
  const { group } = definition.spec;
  if (!isProtected(group ?? "")) return [];
  const given = definition.metadata?.annotations?.[approval];
  if (old !== undefined && given === old.metadata?.annotations?.[approval]) return [];
  if (given?.startsWith("unapproved") || (given !== undefined && URL.canParse(given))) return [];
  const field = `metadata.annotations[${approval}]`;
  const note = "see https://github.com/kubernetes/enhancements/pull/1111";
  if (given === undefined) {
    return [required(field, `protected groups must have approval annotation ${JSON.stringify(approval)}, ${note}`)];
  }
  const why = `protected groups must have approval annotation ${JSON.stringify(approval)} with either a URL or a reason starting with "unapproved", ${note}`;
  return [invalid(field, given, why)];
}

function isProtected(group: string): boolean {
  return ["k8s.io", "kubernetes.io"].some((domain) => group === domain || group.endsWith(`.${domain}`));
}

function preserveErrors(
  spec: CustomResourceDefinitionSpec,
  old: CustomResourceDefinitionSpec | undefined,
): readonly FieldError[] {
  if (spec.preserveUnknownFields !== true || old?.preserveUnknownFields === true) return [];
  const why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
  return [invalid("spec.preserveUnknownFields", true, why)];
}
