/**
 * Where containers see volumes: as folders and files, or as devices.
 */
import { type FieldError, fieldNotFound, forbiddenField, invalid, required } from "#apimachinery/field-error.ts";
import type { Container, VolumeMount } from "#api/generated/types/core-v1.ts";
import { descendingPath, type Errors, noBacksteps, oneOf } from "#api/field-rules.ts";

type Volumes = ReadonlyMap<string, { readonly isBlock: boolean }>;
type Holder = Pick<Container, "volumeMounts" | "volumeDevices" | "securityContext">;

export function validateMounts(field: string, container: Holder, volumes: Volumes): Errors {
  const places = new Set<string>();
  const devices = container.volumeDevices ?? [];
  return (container.volumeMounts ?? []).flatMap((mount, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = [];
    if (!mount.name) errors.push(required(`${path}.name`));
    if (!volumes.has(mount.name)) errors.push(fieldNotFound(`${path}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${path}.mountPath`));
    if (places.has(mount.mountPath)) errors.push(invalid(`${path}.mountPath`, mount.mountPath, "must be unique"));
    places.add(mount.mountPath);
    if (devices.some(({ name }) => name === mount.name))
      errors.push(invalid(`${path}.name`, mount.name, "must not already exist in volumeDevices"));
    if (devices.some(({ devicePath }) => devicePath === mount.mountPath)) {
      errors.push(invalid(`${path}.mountPath`, mount.mountPath, "must not already exist as a path in volumeDevices"));
    }
    // Upstream leaves the index out of what follows, but for subPathExpr.
    return [...errors, ...validateSubPath(field, path, mount), ...validatePropagation(field, mount, container)];
  });
}

export function validateDevices(field: string, container: Holder, volumes: Volumes): Errors {
  const [names, places] = [new Set<string>(), new Set<string>()];
  const mounts = container.volumeMounts ?? [];
  return (container.volumeDevices ?? []).flatMap(({ name, devicePath }, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = [];
    const volume = volumes.get(name);
    if (!name) errors.push(required(`${path}.name`));
    if (names.has(name)) errors.push(invalid(`${path}.name`, name, "must be unique"));
    if (volume && !volume.isBlock) {
      errors.push(
        invalid(
          `${path}.name`,
          name,
          "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
        ),
      );
    }
    if (!volume) errors.push(fieldNotFound(`${path}.name`, name));
    if (!devicePath) errors.push(required(`${path}.devicePath`));
    if (places.has(devicePath)) errors.push(invalid(`${path}.devicePath`, devicePath, "must be unique"));
    if (noBacksteps("", devicePath).length > 0)
      errors.push(invalid(`${path}.devicePath`, devicePath, "can not contain backsteps ('..')"));
    if (mounts.some((mount) => mount.name === name))
      errors.push(invalid(`${path}.name`, name, "must not already exist in volumeMounts"));
    if (mounts.some((mount) => mount.mountPath === devicePath)) {
      errors.push(invalid(`${path}.devicePath`, devicePath, "must not already exist as a path in volumeMounts"));
    }
    names.add(name);
    places.add(devicePath);
    return errors;
  });
}

function validateSubPath(field: string, path: string, { subPath, subPathExpr }: VolumeMount): Errors {
  const errors: FieldError[] = subPath ? [...descendingPath(`${field}.subPath`, subPath)] : [];
  if (!subPathExpr) return errors;
  if (subPath)
    errors.push(invalid(`${path}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive"));
  return [...errors, ...descendingPath(`${field}.subPathExpr`, subPathExpr)];
}

function validatePropagation(field: string, mount: VolumeMount, { securityContext }: Holder): Errors {
  const { mountPropagation, recursiveReadOnly, readOnly } = mount;
  const errors: FieldError[] = [
    ...oneOf(`${field}.mountPropagation`, mountPropagation, ["Bidirectional", "HostToContainer", "None"]),
  ];
  if (mountPropagation === "Bidirectional" && !securityContext?.privileged) {
    errors.push(
      forbiddenField(
        `${field}.mountPropagation`,
        "Bidirectional mount propagation is available only to privileged containers",
      ),
    );
  }
  const path = `${field}.recursiveReadOnly`;
  errors.push(...oneOf(path, recursiveReadOnly, ["Disabled", "Enabled", "IfPossible"]));
  if (recursiveReadOnly === "Enabled" || recursiveReadOnly === "IfPossible") {
    if (!readOnly) errors.push(forbiddenField(path, "may only be specified when readOnly is true"));
    if (mountPropagation && mountPropagation !== "None") {
      errors.push(forbiddenField(path, "may only be specified when mountPropagation is None or not specified"));
    }
  }
  return errors;
}
