/**
 * Volumes of pods: exactly one source each, and the source complete.
 */
import { type FieldError, duplicate, forbiddenField, invalid, required } from "#apimachinery/field-error.ts";
import type {
  DownwardAPIVolumeFile,
  KeyToPath,
  PodSpec,
  ProjectedVolumeSource,
  Volume,
  VolumeProjection,
} from "#api/generated/types/core-v1.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";
import { isQuantity, parseQuantity } from "#apimachinery/quantity.ts";
import {
  check,
  descendingPath,
  dnsLabel,
  type Errors,
  fileMode,
  noBacksteps,
  nonEmpty,
  oneOf,
} from "#api/field-rules.ts";
import { validateFieldRef, validateResourceFieldRef, volumeFields } from "./environment.ts";
import { validateClaimSpec } from "./volume-claims.ts";
import { validateNetworkSource } from "./volume-sources.ts";

const hostPathTypes = [
  "",
  "DirectoryOrCreate",
  "Directory",
  "FileOrCreate",
  "File",
  "Socket",
  "CharDevice",
  "BlockDevice",
];
const claimTokenSeconds = { min: 600, max: 2 ** 32 };

/** All volumes of a pod. `podName` is known for pods, not for templates. */
export function validateVolumes(field: string, { volumes = [] }: PodSpec, podName: string | undefined): Errors {
  const names = new Set<string>();
  return volumes.flatMap((volume, index) => {
    const path = `${field}[${index}]`;
    const errors: FieldError[] = [...validateVolume(path, volume, podName)];
    if (!volume.name) errors.push(required(`${path}.name`));
    else if (names.has(volume.name)) errors.push(duplicate(`${path}.name`, volume.name));
    else errors.push(...dnsLabel(`${path}.name`, volume.name));
    names.add(volume.name);
    return errors;
  });
}

function validateVolume(field: string, volume: Volume, podName: string | undefined): Errors {
  const kinds = Object.keys(volume).filter((key) => key !== "name") as (keyof Volume)[];
  const [first, ...others] = kinds;
  if (first === undefined) return [required(field, "must specify a volume type")];
  return [
    ...others.map((kind) => forbiddenField(`${field}.${kind}`, "may not specify more than 1 volume type")),
    ...validateSource(`${field}.${first}`, volume, first, podName),
  ];
}

function validateSource(field: string, volume: Volume, kind: keyof Volume, podName: string | undefined): Errors {
  switch (kind) {
    case "emptyDir":
      return validateEmptyDir(field, volume.emptyDir?.sizeLimit);
    case "hostPath":
      return [
        ...(volume.hostPath?.path ? noBacksteps(`${field}.path`, volume.hostPath.path) : [required(`${field}.path`)]),
        ...oneOf(`${field}.type`, volume.hostPath?.type, hostPathTypes),
      ];
    case "secret":
      return [
        ...nonEmpty(`${field}.secretName`, volume.secret?.secretName),
        ...fileMode(`${field}.defaultMode`, volume.secret?.defaultMode),
        ...validateItems(`${field}.items`, volume.secret?.items),
      ];
    case "configMap":
      return [
        ...nonEmpty(`${field}.name`, volume.configMap?.name),
        ...fileMode(`${field}.defaultMode`, volume.configMap?.defaultMode),
        ...validateItems(`${field}.items`, volume.configMap?.items),
      ];
    case "downwardAPI":
      return [
        ...fileMode(`${field}.defaultMode`, volume.downwardAPI?.defaultMode),
        // Upstream leaves the index out here.
        ...(volume.downwardAPI?.items ?? []).flatMap((file) => validateDownwardFile(field, file)),
      ];
    case "projected":
      return validateProjected(field, volume.projected ?? {});
    case "persistentVolumeClaim":
      return nonEmpty(`${field}.claimName`, volume.persistentVolumeClaim?.claimName);
    case "ephemeral":
      return validateEphemeral(field, volume, podName);
    default:
      return validateNetworkSource(field, kind, volume[kind] as Readonly<Record<string, unknown>>);
  }
}

function validateEmptyDir(field: string, sizeLimit: string | undefined): Errors {
  if (sizeLimit === undefined || (isQuantity(sizeLimit) && parseQuantity(sizeLimit).nanos >= 0n)) return [];
  return [forbiddenField(`${field}.sizeLimit`, "SizeLimit field must be a valid resource quantity")];
}

function validateEphemeral(field: string, volume: Volume, podName: string | undefined): Errors {
  const template = volume.ephemeral?.volumeClaimTemplate;
  if (!template) return [required(`${field}.volumeClaimTemplate`)];
  const errors: FieldError[] = [...validateClaimSpec(`${field}.volumeClaimTemplate.spec`, template.spec)];
  if (podName) {
    const name = `${podName}-${volume.name}`;
    const parent = field.slice(0, field.lastIndexOf("."));
    errors.push(
      ...isDns1123Subdomain(name).map((detail) =>
        invalid(`${parent}.name`, volume.name, `PVC name ${JSON.stringify(name)}: ${detail}`),
      ),
    );
  }
  return errors;
}

function validateItems(field: string, items: readonly KeyToPath[] = []): Errors {
  return items.flatMap(({ key, path, mode }, index) => [
    ...nonEmpty(`${field}[${index}].key`, key),
    ...(path ? validateFilePath(`${field}[${index}].path`, path) : [required(`${field}[${index}].path`)]),
    ...fileMode(`${field}[${index}].mode`, mode),
  ]);
}

function validateFilePath(field: string, path: string): Errors {
  const isReserved =
    path.startsWith("..") && !path.startsWith("../") ? [invalid(field, path, "must not start with '..'")] : [];
  return [...descendingPath(field, path), ...isReserved];
}

function validateDownwardFile(
  field: string,
  { path, fieldRef, resourceFieldRef, mode }: DownwardAPIVolumeFile,
): Errors {
  const errors: FieldError[] = path ? [...validateFilePath(`${field}.path`, path)] : [required(`${field}.path`)];
  if (fieldRef) errors.push(...validateFieldRef(`${field}.fieldRef`, fieldRef, volumeFields));
  if (fieldRef && resourceFieldRef) {
    errors.push(invalid(field, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
  } else if (resourceFieldRef) {
    errors.push(...validateResourceFieldRef(`${field}.resourceFieldRef`, resourceFieldRef, true));
  } else if (!fieldRef) {
    errors.push(required(field, "one of fieldRef and resourceFieldRef is required"));
  }
  return [...errors, ...fileMode(`${field}.mode`, mode)];
}

function validateProjected(field: string, { defaultMode, sources = [] }: ProjectedVolumeSource): Errors {
  const paths = new Set<string>();
  return [
    ...fileMode(`${field}.defaultMode`, defaultMode),
    ...sources.flatMap((source, index) => validateProjection(field, `${field}.sources[${index}]`, source, paths)),
  ];
}

function validateProjection(field: string, path: string, source: VolumeProjection, paths: Set<string>): Errors {
  const { secret, configMap, downwardAPI, serviceAccountToken, clusterTrustBundle, podCertificate } = source;
  const errors: FieldError[] = [];
  const claim = (file: string | undefined, shown: string | undefined = file) => {
    if (!file) return;
    if (paths.has(file)) errors.push(invalid(field, shown ?? file, "conflicting duplicate paths"));
    paths.add(file);
  };
  if (secret) {
    errors.push(
      ...nonEmpty(`${path}.secret.name`, secret.name),
      ...validateItems(`${path}.secret.items`, secret.items),
    );
    for (const item of secret.items ?? []) claim(item.path, secret.name);
  }
  if (configMap) {
    errors.push(
      ...nonEmpty(`${path}.configMap.name`, configMap.name),
      ...validateItems(`${path}.configMap.items`, configMap.items),
    );
    for (const item of configMap.items ?? []) claim(item.path, configMap.name);
  }
  for (const file of downwardAPI?.items ?? []) {
    errors.push(...validateDownwardFile(`${path}.downwardAPI`, file));
    claim(file.path);
  }
  if (serviceAccountToken) {
    errors.push(...validateTokenProjection(`${path}.serviceAccountToken`, field, serviceAccountToken));
    claim(serviceAccountToken.path);
  }
  if (clusterTrustBundle) {
    errors.push(...nonEmpty(`${path}.clusterTrustBundle.path`, clusterTrustBundle.path));
    claim(clusterTrustBundle.path);
  }
  for (const file of [
    podCertificate?.credentialBundlePath,
    podCertificate?.keyPath,
    podCertificate?.certificateChainPath,
  ])
    claim(file);
  const count = Object.values(source).filter((value) => value !== undefined && value !== null).length;
  if (count > 1) errors.push(forbiddenField(path, "may not specify more than 1 volume type per source"));
  return errors;
}

function validateTokenProjection(
  path: string,
  field: string,
  { expirationSeconds, path: file }: NonNullable<VolumeProjection["serviceAccountToken"]>,
): Errors {
  const errors: FieldError[] = [];
  const seconds = expirationSeconds ?? claimTokenSeconds.min;
  if (seconds < claimTokenSeconds.min) {
    errors.push(invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes"));
  }
  if (seconds > claimTokenSeconds.max) {
    errors.push(invalid(`${path}.expirationSeconds`, seconds, "may not specify a duration larger than 2^32 seconds"));
  }
  return [...errors, ...(file ? validateFilePath(`${path}.path`, file) : [required(`${field}.path`)])];
}

/** Names of the volumes, and which can be used as a block device. */
export function volumesByName({ volumes = [] }: PodSpec): ReadonlyMap<string, { readonly isBlock: boolean }> {
  return new Map(
    volumes.map((volume) => [volume.name, { isBlock: !!volume.persistentVolumeClaim || !!volume.ephemeral }]),
  );
}

/** Checks a name that must be the name of an object. */
export function objectName(field: string, name: string | undefined): Errors {
  return name ? check(field, name, isDns1123Subdomain) : [required(field)];
}
