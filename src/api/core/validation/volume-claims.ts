/**
 * Persistent volume claims, on their own and in templates.
 */
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import type { PersistentVolumeClaimSpec } from "#api/generated/types/core-v1.ts";
import { validateLabelSelector } from "#apimachinery/label-selector.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";
import { formatQuantity, isQuantity, parseQuantity } from "#apimachinery/quantity.ts";
import { check, type Errors, oneOf } from "#api/field-rules.ts";

export const accessModes: readonly string[] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/** The spec of a claim. */
export function validateClaimSpec(field: string, spec: PersistentVolumeClaimSpec): Errors {
  return [
    ...validateAccessModes(field, spec.accessModes),
    ...(spec.selector ? validateLabelSelector(spec.selector, `${field}.selector`) : []),
    ...validateStorage(field, spec.resources?.requests?.["storage"]),
    ...(spec.storageClassName ? check(`${field}.storageClassName`, spec.storageClassName, isDns1123Subdomain) : []),
    ...oneOf(`${field}.volumeMode`, spec.volumeMode, ["Block", "Filesystem"]),
    ...validateDataSource(`${field}.dataSource`, spec.dataSource),
    ...validateDataSource(`${field}.dataSourceRef`, spec.dataSourceRef),
    ...(spec.volumeAttributesClassName
      ? check(`${field}.volumeAttributesClassName`, spec.volumeAttributesClassName, isDns1123Subdomain)
      : []),
  ];
}

/** How a volume may be used: at least one way, and "by one pod" only alone. */
export function validateAccessModes(field: string, modes: readonly string[] = []): Errors {
  const path = `${field}.accessModes`;
  if (modes.length === 0) return [required(path, "at least 1 access mode is required")];
  const unknown = modes
    .filter((mode) => !accessModes.includes(mode))
    .map((mode) => notSupported(path, mode, accessModes));
  const isMixed = modes.includes("ReadWriteOncePod") && modes.some((mode) => mode !== "ReadWriteOncePod");
  return isMixed ? [...unknown, forbiddenField(path, "may not use ReadWriteOncePod with other access modes")] : unknown;
}

function validateStorage(field: string, storage: string | undefined): Errors {
  const path = `${field}.resources[storage]`;
  if (storage === undefined) return [required(path)];
  if (!isQuantity(storage)) return [invalid(path, storage, "must be a valid resource quantity")];
  const amount = parseQuantity(storage);
  return amount.nanos > 0n ? [] : [invalid(path, formatQuantity(amount), "must be greater than zero")];
}

function validateDataSource(
  field: string,
  source: { readonly apiGroup?: string; readonly kind: string; readonly name: string } | undefined,
): Errors {
  if (!source) return [];
  const errors: FieldError[] = [];
  if (!source.name) errors.push(required(`${field}.name`));
  if (!source.kind) errors.push(required(`${field}.kind`));
  if (!source.apiGroup && source.kind !== "PersistentVolumeClaim") {
    errors.push(invalid(field, source.kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
  }
  return errors;
}
