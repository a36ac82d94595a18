/**
 * PersistentVolumes and PersistentVolumeClaims as objects, and what of them may change.
 */
import { isDeepStrictEqual } from "node:util";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec } from "#api/generated/types/core-v1.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";
import { compareQuantities, formatQuantity, isQuantity, parseQuantity } from "#apimachinery/quantity.ts";
import { check, type Errors, noBacksteps, oneOf } from "#api/field-rules.ts";
import { validateNodeSelector } from "./scheduling.ts";
import { accessModes, validateClaimSpec } from "./volume-claims.ts";
import { csiDriverName, validateNetworkSource } from "./volume-sources.ts";

const sourceKinds = [
  "hostPath",
  "gcePersistentDisk",
  "awsElasticBlockStore",
  "glusterfs",
  "flocker",
  "nfs",
  "rbd",
  "quobyte",
  "cephfs",
  "iscsi",
  "cinder",
  "fc",
  "flexVolume",
  "azureFile",
  "vsphereVolume",
  "photonPersistentDisk",
  "portworxVolume",
  "azureDisk",
  "scaleIO",
  "local",
  "storageos",
  "csi",
] as const;

export function validatePersistentVolume({ spec }: PersistentVolume): Errors {
  if (!spec) return [required("spec.accessModes")];
  const modes = spec.accessModes ?? [];
  const errors: FieldError[] = modes.length === 0 ? [required("spec.accessModes")] : [];
  errors.push(
    ...modes
      .filter((mode) => !accessModes.includes(mode))
      .map((mode) => notSupported("spec.accessModes", mode, accessModes)),
  );
  if (modes.includes("ReadWriteOncePod") && modes.length > 1) {
    errors.push(forbiddenField("spec.accessModes", "may not use ReadWriteOncePod with other access modes"));
  }
  const capacity = spec.capacity ?? {};
  if (Object.keys(capacity).length === 0) errors.push(required("spec.capacity"));
  else if (capacity["storage"] === undefined || Object.keys(capacity).length > 1)
    errors.push(notSupported("spec.capacity", capacity, ["storage"]));
  for (const [name, text] of Object.entries(capacity)) errors.push(...validateCapacity(`spec.capacity[${name}]`, text));
  errors.push(
    ...oneOf("spec.persistentVolumeReclaimPolicy", spec.persistentVolumeReclaimPolicy, ["Delete", "Recycle", "Retain"]),
  );
  if (spec.nodeAffinity?.required)
    errors.push(...validateNodeSelector("spec.nodeAffinity.required", spec.nodeAffinity.required));
  if (spec.storageClassName) errors.push(...check("spec.storageClassName", spec.storageClassName, isDns1123Subdomain));
  return [...errors, ...oneOf("spec.volumeMode", spec.volumeMode, ["Block", "Filesystem"]), ...validateSources(spec)];
}

function validateCapacity(field: string, text: string): Errors {
  if (!isQuantity(text)) return [invalid(field, text, "must be a valid resource quantity")];
  const amount = parseQuantity(text);
  if (amount.nanos > 0n) return [];
  const positive = invalid(field, formatQuantity(amount), "must be greater than zero");
  // Upstream looks at it twice, and prints it once as a number.
  return amount.nanos < 0n
    ? [invalid(field, Number(formatQuantity(amount)) || text, "must be a valid resource quantity"), positive]
    : [positive];
}

export function validatePersistentVolumeUpdate(volume: PersistentVolume, old: PersistentVolume): Errors {
  const errors: FieldError[] = [...validatePersistentVolume(volume)];
  const sourceOf = ({ spec }: PersistentVolume) => Object.fromEntries(sourceKinds.map((kind) => [kind, spec?.[kind]]));
  if (!isDeepStrictEqual(sourceOf(volume), sourceOf(old))) {
    errors.push(
      forbiddenField("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"),
    );
  }
  if (volume.spec?.volumeMode !== old.spec?.volumeMode)
    errors.push(invalid("spec.volumeMode", volume.spec?.volumeMode, "field is immutable"));
  if (old.spec?.nodeAffinity && !isDeepStrictEqual(volume.spec?.nodeAffinity, old.spec.nodeAffinity)) {
    errors.push(
      invalid(
        "spec.nodeAffinity",
        volume.spec?.nodeAffinity,
        "field is immutable, except for updating from beta label to GA",
      ),
    );
  }
  return errors;
}

export function validateClaim({ spec }: PersistentVolumeClaim): Errors {
  return spec ? validateClaimSpec("spec", spec) : [required("spec.accessModes", "at least 1 access mode is required")];
}

export function validateClaimUpdate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): Errors {
  const errors: FieldError[] = [...validateClaim(claim)];
  const [after, before] = [{ ...claim.spec }, { ...old.spec }] as [Record<string, unknown>, Record<string, unknown>];
  // Given once: by the binder, by who sets a default class later.
  for (const key of ["volumeName", "storageClassName"])
    if (before[key] === undefined || before[key] === "") before[key] = after[key];
  after["volumeAttributesClassName"] = before["volumeAttributesClassName"];
  const [size, oldSize] = [storageOf(claim), storageOf(old)];
  const isBound = old.status?.phase === "Bound";
  if (isBound) after["resources"] = before["resources"];
  if (!isDeepStrictEqual(plain(after), plain(before))) {
    errors.push(
      forbiddenField(
        "spec",
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
      ),
    );
  }
  if (isBound && size && oldSize && compareQuantities(parseQuantity(size), parseQuantity(oldSize)) < 0) {
    const status = old.status?.capacity?.["storage"];
    const isAboveStatus = status !== undefined && compareQuantities(parseQuantity(size), parseQuantity(status)) > 0;
    if (!isAboveStatus)
      errors.push(forbiddenField("spec.resources.requests.storage", "field can not be less than status.capacity"));
  }
  return errors;
}

function validateSources(spec: PersistentVolumeSpec): Errors {
  const [kind, ...others] = sourceKinds.filter((one) => spec[one] !== undefined);
  if (kind === undefined) return [required("spec", "must specify a volume type")];
  const errors: FieldError[] = others.map((one) =>
    forbiddenField(`spec.${one}`, "may not specify more than 1 volume type"),
  );
  const source = spec[kind] as Readonly<Record<string, unknown>>;
  if (kind === "hostPath")
    errors.push(
      ...(spec.hostPath?.path
        ? noBacksteps("spec.hostPath.path", spec.hostPath.path)
        : [required("spec.hostPath.path")]),
    );
  else if (kind === "csi") errors.push(...validateCsi(spec.csi));
  else errors.push(...validateNetworkSource(`spec.${kind}`, kind, source));
  if (kind === "local" && !spec.nodeAffinity)
    errors.push(required("spec.nodeAffinity", "Local volume requires node affinity"));
  if (spec.hostPath?.path === "/" && spec.persistentVolumeReclaimPolicy === "Recycle") {
    errors.push(
      forbiddenField("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'"),
    );
  }
  return errors;
}

function validateCsi(csi: PersistentVolumeSpec["csi"]): Errors {
  const handle = csi?.volumeHandle ? [] : [required("spec.csi.volumeHandle")];
  return [...csiDriverName("spec.csi.driver", csi?.driver ?? ""), ...handle];
}

function storageOf({ spec }: PersistentVolumeClaim): string | undefined {
  const text = spec?.resources?.requests?.["storage"];
  return text !== undefined && isQuantity(text) ? text : undefined;
}

/** Without fields that are there but undefined. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
