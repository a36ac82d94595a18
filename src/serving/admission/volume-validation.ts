/**
 * Validation of a revision's volumes and of where they are mounted. Rules and messages as upstream's `pkg/apis/serving/k8s_validation.go` (v1.23).
 */
import { posix } from "node:path";
import type { Container, KeyToPath, Volume, VolumeMount, VolumeProjection } from "#api/generated/types/core-v1.ts";
import { isDns1123Label } from "#apimachinery/names.ts";
import { parseQuantity, quantityValue } from "#apimachinery/quantity.ts";
import {
  type FieldError,
  generic,
  invalidValue,
  missingField,
  missingOneOf,
  multipleOneOf,
  viaField,
  viaFieldIndex,
  viaIndex,
} from "#knative/admission/field-error.ts";
import type { Feature, FeaturesConfig } from "#serving/config/features-config.ts";
import { checkMask, type FieldMask, fieldMasks } from "./field-masks.ts";

const reservedPaths = ["/", "/dev", "/dev/log"];

/** Kinds of volumes that stand behind a feature: field, feature, and what messages call them. */
const optionalSources: readonly (readonly [keyof Volume, Feature, string])[] = [
  ["emptyDir", "kubernetes.podspec-volumes-emptydir", "EmptyDir"],
  ["persistentVolumeClaim", "kubernetes.podspec-persistent-volume-claim", ""],
  ["hostPath", "kubernetes.podspec-volumes-hostpath", "HostPath"],
  ["csi", "kubernetes.podspec-volumes-csi", "CSI"],
  ["ephemeral", "kubernetes.podspec-volumes-ephemeral", "Ephemeral"],
  ["image", "kubernetes.podspec-volumes-image", "Image"],
];

/** Names of volumes that some container mounts. */
export function mountedVolumes(containers: readonly Container[]): ReadonlySet<string> {
  return new Set(containers.flatMap(({ volumeMounts }) => (volumeMounts ?? []).map(({ name }) => name ?? "")));
}

/** What is wrong with them; paths begin with the index. */
export function validateVolumes(
  volumes: readonly Volume[],
  mounted: ReadonlySet<string>,
  features: FeaturesConfig,
): readonly FieldError[] {
  const seen = new Set<string>();
  return volumes.flatMap((volume, index) => {
    const { name } = volume;
    const errors = [...checkVolume(volume, features)];
    if (seen.has(name)) errors.push(generic(`duplicate volume name ${JSON.stringify(name)}`, "name"));
    if (!mounted.has(name)) errors.push(generic(`volume with name ${JSON.stringify(name)} not mounted`, "name"));
    seen.add(name);
    return viaIndex(index, errors);
  });
}

function checkVolume(volume: Volume, features: FeaturesConfig): readonly FieldError[] {
  const { name } = volume;
  const nameErrors =
    name === "" ? [missingField("name")] : isDns1123Label(name).length > 0 ? [invalidValue(name, "name")] : [];
  return [
    ...checkFeatures(volume, features),
    ...checkMask(volume, fieldMasks.Volume, features),
    ...nameErrors,
    ...checkSources(volume, features),
  ];
}

function checkFeatures(volume: Volume, features: FeaturesConfig): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const [field, feature, title] of optionalSources) {
    if (volume[field] === undefined || title === "" || features[feature] === "Enabled") continue;
    errors.push(generic(`${title} volume support is disabled, but found ${title} volume ${volume.name}`, ""));
  }
  const claim = volume.persistentVolumeClaim;
  if (claim === undefined) return errors;
  const found = `but found persistent volume claim ${claim.claimName}`;
  if (features["kubernetes.podspec-persistent-volume-claim"] !== "Enabled")
    errors.push(generic(`Persistent volume claim support is disabled, ${found}`, ""));
  if (claim.readOnly !== true && features["kubernetes.podspec-persistent-volume-write"] !== "Enabled")
    errors.push(generic(`Persistent volume write support is disabled, ${found} that is not read-only`, ""));
  return errors;
}

function checkSources(volume: Volume, features: FeaturesConfig): readonly FieldError[] {
  const always = ["secret", "configMap", "projected"] as const;
  const given = [...always, ...optionalSources.map(([field]) => field)].filter((field) => volume[field] !== undefined);
  const known = optionalSources.filter(([, feature]) => features[feature] === "Enabled").map(([field]) => field);
  return [
    ...checkItems(volume.secret?.items ?? [], features),
    ...checkItems(volume.configMap?.items ?? [], features),
    ...(volume.projected?.sources ?? []).flatMap((source, index) =>
      viaFieldIndex("projected", index, checkProjection(source, features)),
    ),
    ...viaField("emptyDir", checkEmptyDir(volume)),
    ...viaField("image", checkImageVolume(volume, features)),
    ...(given.length === 0 ? [missingOneOf(...always, ...known)] : []),
    ...(given.length > 1 ? [multipleOneOf(...given)] : []),
  ];
}

function checkItems(items: readonly KeyToPath[], features: FeaturesConfig): readonly FieldError[] {
  return items.flatMap((item, index) => {
    const missing = (["key", "path"] as const).filter((field) => !item[field]);
    const errors = [...checkMask(item, fieldMasks.KeyToPath, features), ...missing.map((field) => missingField(field))];
    return viaFieldIndex("items", index, errors);
  });
}

function checkEmptyDir({ emptyDir }: Volume): readonly FieldError[] {
  if (emptyDir === undefined) return [];
  const { medium = "", sizeLimit } = emptyDir;
  const errors: FieldError[] = [];
  if (medium !== "" && medium !== "Memory") errors.push(invalidValue(medium, "medium"));
  if (sizeLimit !== undefined && quantityValue(parseQuantity(sizeLimit)) < 0)
    errors.push(invalidValue(sizeLimit, "sizeLimit"));
  return errors;
}

function checkImageVolume({ image }: Volume, features: FeaturesConfig): readonly FieldError[] {
  if (image === undefined) return [];
  const { reference = "", pullPolicy = "" } = image;
  const errors = [...checkMask(image, fieldMasks.ImageVolumeSource, features)];
  if (reference === "") errors.push(missingField("reference"));
  if (!["", "IfNotPresent", "Always", "Never"].includes(pullPolicy))
    errors.push(invalidValue(pullPolicy, "pullPolicy"));
  return errors;
}

function checkProjection(source: VolumeProjection, features: FeaturesConfig): readonly FieldError[] {
  const { secret, configMap, serviceAccountToken: token, downwardAPI } = source;
  const fields = ["secret", "configMap", "serviceAccountToken", "downwardAPI"] as const;
  const given = fields.filter((field) => source[field] !== undefined);
  const named = (part: { readonly name?: string; readonly items?: readonly KeyToPath[] }, mask: FieldMask) => [
    ...checkMask(part, mask, features),
    ...(part.name ? [] : [missingField("name")]),
    ...checkItems(part.items ?? [], features),
  ];
  return [
    ...checkMask(source, fieldMasks.VolumeProjection, features),
    ...(secret === undefined ? [] : viaField("secret", named(secret, fieldMasks.SecretProjection))),
    ...(configMap === undefined ? [] : viaField("configMap", named(configMap, fieldMasks.ConfigMapProjection))),
    ...(token === undefined || token.path ? [] : viaField("serviceAccountToken", [missingField("path")])),
    ...(downwardAPI?.items ?? []).flatMap((item, index) =>
      viaField("downwardAPI", viaFieldIndex("items", index, checkDownwardItem(item))),
    ),
    ...(given.length === 0 ? [missingOneOf(...fields)] : []),
    ...(given.length > 1 ? [multipleOneOf(...given)] : []),
  ];
}

function checkDownwardItem(item: {
  readonly fieldRef?: object;
  readonly resourceFieldRef?: object;
  readonly path?: string;
}): readonly FieldError[] {
  const { fieldRef, resourceFieldRef, path } = item;
  const errors: FieldError[] = [];
  if (fieldRef === undefined && resourceFieldRef === undefined)
    errors.push(missingOneOf("fieldRef", "resourceFieldRef"));
  if (fieldRef !== undefined && resourceFieldRef !== undefined)
    errors.push(generic("Within a single item, cannot set both", "resourceFieldRef", "fieldRef"));
  if (!path) errors.push(missingField("path"));
  return errors;
}

/** What is wrong with a container's mounts; paths begin with the index. */
export function validateVolumeMounts(
  mounts: readonly VolumeMount[],
  volumes: ReadonlyMap<string, Volume>,
  features: FeaturesConfig,
): readonly FieldError[] {
  const seenPaths = new Set<string>();
  return mounts.flatMap((mount, index) => {
    const volume = volumes.get(mount.name ?? "");
    const errors = [
      ...checkMask(mount, fieldMasks.VolumeMount, features),
      ...(volume === undefined ? [generic("volumeMount has no matching volume", "name")] : []),
      ...checkMountPath(mount.mountPath ?? "", seenPaths),
      ...checkReadOnly(mount, volume),
      ...checkPropagation(mount, features),
    ];
    return viaIndex(index, errors);
  });
}

function checkMountPath(path: string, seen: Set<string>): readonly FieldError[] {
  if (path === "") return [missingField("mountPath")];
  const clean = posix.normalize(path).replace(/(.)\/$/, "$1");
  const isSeen = seen.has(clean);
  seen.add(clean);
  if (reservedPaths.includes(clean))
    return [generic(`mountPath ${JSON.stringify(clean)} is a reserved path`, "mountPath")];
  if (!posix.isAbsolute(path)) return [invalidValue(path, "mountPath")];
  return isSeen ? [invalidValue(`${JSON.stringify(path)} must be unique`, "mountPath")] : [];
}

function checkReadOnly(mount: VolumeMount, volume: Volume | undefined): readonly FieldError[] {
  const { emptyDir, persistentVolumeClaim: claim, ephemeral } = volume ?? {};
  const mayWrite = emptyDir !== undefined || claim !== undefined || ephemeral !== undefined;
  if (!mayWrite && mount.readOnly !== true)
    return [generic("volume mount should be readOnly for this type of volume", "readOnly")];
  return claim?.readOnly === true && mount.readOnly !== true
    ? [generic("volume is readOnly but volume mount is not", "readOnly")]
    : [];
}

function checkPropagation(mount: VolumeMount, features: FeaturesConfig): readonly FieldError[] {
  const { mountPropagation: propagation } = mount;
  if (propagation === undefined) return [];
  const errors: FieldError[] = [];
  if (features["kubernetes.podspec-volumes-mount-propagation"] !== "Enabled") {
    const found = `but found volume mount ${mount.name} with mount propagation`;
    errors.push(generic(`Volume Mount Propagation support is disabled, ${found}`, ""));
  }
  if (!["None", "HostToContainer"].includes(propagation))
    errors.push(generic("mount propagation should be set to None or HostToContainer", "mountPropagation"));
  return errors;
}
