/**
 * What may stand in metadata. Rules, order and words as apimachinery's pkg/api/validation/objectmeta.go.
 */
import { type FieldError, forbiddenField, invalid, required, tooLong } from "#apimachinery/field-error.ts";
import { validateLabels } from "#apimachinery/label-selector.ts";
import type { ObjectMeta, OwnerReference } from "#apimachinery/meta.ts";
import {
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isPathSegmentName,
  isQualifiedName,
} from "#apimachinery/names.ts";
import type { KindStrategy } from "#api/strategy.ts";

const MAX_ANNOTATION_BYTES = 256 * 1024;

/** Finalizers that need no domain. */
const STANDARD_FINALIZERS: ReadonlySet<string> = new Set(["kubernetes", "orphan", "foregroundDeletion"]);

type NameRule = NonNullable<KindStrategy["nameRule"]>;

/** What is wrong with an object's metadata. */
export function validateMetadata(
  meta: ObjectMeta,
  options: {
    readonly isNamespaced: boolean;
    readonly nameRule: NameRule | undefined;
    /** Custom resources and their definitions may have finalizers without a domain. */
    readonly allowsBareFinalizers: boolean;
  },
): readonly FieldError[] {
  const errors: FieldError[] = [];
  const rule = options.nameRule ?? "dns-subdomain";
  if (meta.generateName !== undefined && meta.generateName !== "") {
    for (const message of nameErrors(rule, meta.generateName, true)) {
      errors.push(invalid("metadata.generateName", meta.generateName, message));
    }
  }
  if (meta.name === undefined || meta.name === "") {
    errors.push(required("metadata.name", "name or generateName is required"));
  } else {
    for (const message of nameErrors(rule, meta.name, false)) errors.push(invalid("metadata.name", meta.name, message));
  }
  errors.push(...namespaceErrors(meta.namespace ?? "", options.isNamespaced));
  if ((meta.generation ?? 0) < 0) {
    errors.push(invalid("metadata.generation", meta.generation, "must be greater than or equal to 0"));
  }
  if (meta.labels !== undefined) errors.push(...validateLabels(meta.labels, "metadata.labels"));
  if (meta.annotations !== undefined) errors.push(...validateAnnotations(meta.annotations, "metadata.annotations"));
  if (meta.ownerReferences !== undefined) errors.push(...ownerErrors(meta.ownerReferences));
  if (meta.finalizers !== undefined) errors.push(...finalizerErrors(meta.finalizers, options.allowsBareFinalizers));
  return errors;
}

/** How the metadata of a resource's objects is to be validated. */
export function metadataRules(resource: {
  readonly facts: { readonly isNamespaced: boolean; readonly group: string };
  readonly strategy: KindStrategy;
  readonly isCustom: boolean;
}): Parameters<typeof validateMetadata>[1] {
  const { facts, strategy, isCustom } = resource;
  return {
    isNamespaced: facts.isNamespaced,
    nameRule: strategy.nameRule,
    allowsBareFinalizers: isCustom || facts.group === "apiextensions.k8s.io",
  };
}

/** What an update may not change in metadata. */
export function validateMetadataUpdate(meta: ObjectMeta, old: ObjectMeta): readonly FieldError[] {
  const errors: FieldError[] = [];
  const fixed = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ] as const;
  if (old.deletionTimestamp !== undefined) {
    const before = new Set(old.finalizers ?? []);
    const added = (meta.finalizers ?? []).filter((finalizer) => !before.has(finalizer));
    if (added.length > 0) {
      const list = added.map((finalizer) => JSON.stringify(finalizer)).join(", ");
      const why = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
      errors.push(forbiddenField("metadata.finalizers", why));
    }
  }
  for (const field of fixed) {
    if ((meta[field] ?? undefined) !== (old[field] ?? undefined)) {
      errors.push(invalid(`metadata.${field}`, meta[field] ?? "", "field is immutable"));
    }
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0)) {
    errors.push(invalid("metadata.generation", meta.generation ?? 0, "must not be decremented"));
  }
  return errors;
}

/** What is wrong with a name under a rule; `isPrefix` for generateName, which may end in "-". */
export function nameErrors(rule: NameRule, name: string, isPrefix: boolean): readonly string[] {
  const checked = isPrefix && name.endsWith("-") ? `${name.slice(0, -1)}a` : name;
  switch (rule) {
    case "dns-label":
      return isDns1123Label(checked);
    case "dns-1035-label":
      return isDns1035Label(checked);
    case "path-segment":
      return isPathSegmentName(checked);
    case "dns-subdomain":
      return isDns1123Subdomain(checked);
  }
}

function namespaceErrors(namespace: string, isNamespaced: boolean): readonly FieldError[] {
  if (!isNamespaced) {
    return namespace === "" ? [] : [forbiddenField("metadata.namespace", "not allowed on this type")];
  }
  if (namespace === "") return [required("metadata.namespace")];
  return isDns1123Label(namespace).map((message) => invalid("metadata.namespace", namespace, message));
}

function validateAnnotations(annotations: Readonly<Record<string, string>>, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    for (const message of isQualifiedName(key.toLowerCase())) errors.push(invalid(field, key, message));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > MAX_ANNOTATION_BYTES) errors.push(tooLong(field, MAX_ANNOTATION_BYTES));
  return errors;
}

function ownerErrors(owners: readonly OwnerReference[]): readonly FieldError[] {
  const errors: FieldError[] = [];
  let controller: OwnerReference | undefined;
  owners.forEach((owner) => {
    const field = "metadata.ownerReferences";
    if (!owner.apiVersion?.split("/").at(-1)) {
      errors.push(invalid(`${field}.apiVersion`, owner.apiVersion ?? "", "version must not be empty"));
    }
    if (!owner.kind) errors.push(invalid(`${field}.kind`, owner.kind ?? "", "must not be empty"));
    if (!owner.name) errors.push(invalid(`${field}.name`, owner.name ?? "", "must not be empty"));
    if (!owner.uid) errors.push(invalid(`${field}.uid`, owner.uid ?? "", "must not be empty"));
    if (owner.apiVersion === "v1" && owner.kind === "Event") {
      errors.push(invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner"));
    }
    if (owner.controller !== true) return;
    if (controller !== undefined) {
      const why = `Only one reference can have Controller set to true. Found "true" in references for ${controller.kind}/${controller.name} and ${owner.kind}/${owner.name}`;
      errors.push(invalid(field, owners, why));
    }
    controller = owner;
  });
  return errors;
}

function finalizerErrors(finalizers: readonly string[], allowsBare: boolean): readonly FieldError[] {
  const errors: FieldError[] = [];
  finalizers.forEach((finalizer, index) => {
    const field = `metadata.finalizers[${index}]`;
    for (const message of isQualifiedName(finalizer)) errors.push(invalid("metadata.finalizers", finalizer, message));
    if (!allowsBare && !finalizer.includes("/") && !STANDARD_FINALIZERS.has(finalizer)) {
      const why = "name is neither a standard finalizer name nor is it fully qualified";
      errors.push(invalid(field, finalizer, why));
    }
  });
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion")) {
    const why = "finalizer orphan and foregroundDeletion cannot be both set";
    errors.push(invalid("metadata.finalizers", finalizers, why));
  }
  return errors;
}
