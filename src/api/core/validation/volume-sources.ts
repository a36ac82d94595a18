/**
 * Sources of volumes that come from elsewhere: what each must say at least. Shared by volumes and persistent volumes.
 */
import { type FieldError, invalid, notSupported, required, tooLong } from "#apimachinery/field-error.ts";
import { isDns1123Subdomain } from "#apimachinery/names.ts";
import { descendingPath, type Errors, inRange } from "#api/field-rules.ts";

type Source = Readonly<Record<string, unknown>>;

/** Fields that must not be empty, by kind of source. */
const requiredFields: Readonly<Record<string, readonly string[]>> = {
  gitRepo: ["repository"],
  gcePersistentDisk: ["pdName"],
  awsElasticBlockStore: ["volumeID"],
  nfs: ["server", "path"],
  iscsi: ["targetPortal", "iqn"],
  glusterfs: ["endpoints", "path"],
  rbd: ["monitors", "image"],
  cinder: ["volumeID"],
  cephfs: ["monitors"],
  quobyte: ["registry", "volume"],
  flexVolume: ["driver"],
  azureFile: ["secretName", "shareName"],
  azureDisk: ["diskName", "diskURI"],
  vsphereVolume: ["volumePath"],
  photonPersistentDisk: ["pdID"],
  portworxVolume: ["volumeID"],
  scaleIO: ["gateway", "system", "volumeName"],
  storageos: ["volumeName"],
  local: ["path"],
};

/** Errors of a source that is not Kubernetes' own. */
export function validateNetworkSource(field: string, kind: string, source: Source): Errors {
  const missing = (requiredFields[kind] ?? [])
    .filter((name) => isEmpty(source[name]))
    .map((name) => required(`${field}.${name}`));
  return [...missing, ...validateMore(field, kind, source)];
}

function validateMore(field: string, kind: string, source: Source): Errors {
  switch (kind) {
    case "gitRepo":
      return descendingPath(`${field}.directory`, (source["directory"] as string | undefined) ?? "");
    case "gcePersistentDisk":
    case "awsElasticBlockStore": {
      const partition = source["partition"] as number | undefined;
      return partition ? inRange(`${field}.partition`, partition, [1, 255]) : [];
    }
    case "nfs": {
      const path = source["path"] as string | undefined;
      return path && !path.startsWith("/") ? [invalid(`${field}.path`, path, "must be an absolute path")] : [];
    }
    case "iscsi":
      return validateIscsi(field, source);
    case "fc":
      return validateFibreChannel(field, source);
    case "flocker":
      return isEmpty(source["datasetName"]) && isEmpty(source["datasetUUID"])
        ? [required(field, "one of datasetName and datasetUUID is required")]
        : [];
    case "csi":
      return validateCsi(field, source);
    case "image":
      return validateImage(field, source);
    case "azureDisk":
      return validateAzureDisk(field, source);
    default:
      return [];
  }
}

function validateIscsi(field: string, source: Source): Errors {
  const errors: FieldError[] = [];
  const iqn = source["iqn"] as string | undefined;
  if (iqn && !/^(iqn|eui|naa)/.test(iqn))
    errors.push(invalid(`${field}.iqn`, iqn, "must be valid format starting with iqn, eui, or naa"));
  errors.push(...inRange(`${field}.lun`, source["lun"] as number | undefined, [0, 255]));
  if ((source["chapAuthDiscovery"] || source["chapAuthSession"]) && !source["secretRef"])
    errors.push(required(`${field}.secretRef`));
  return errors;
}

function validateFibreChannel(field: string, source: Source): Errors {
  const { targetWWNs, wwids, lun } = source as {
    readonly targetWWNs?: readonly string[];
    readonly wwids?: readonly string[];
    readonly lun?: number;
  };
  if (!targetWWNs?.length && !wwids?.length)
    return [required(`${field}.targetWWNs`, "must specify either targetWWNs or wwids, but not both")];
  if (targetWWNs?.length && wwids?.length) {
    return [invalid(`${field}.targetWWNs`, targetWWNs, "targetWWNs and wwids can not be specified simultaneously")];
  }
  if (!targetWWNs?.length) return [];
  return lun === undefined
    ? [required(`${field}.lun`, "lun is required if targetWWNs is specified")]
    : inRange(`${field}.lun`, lun, [0, 255]);
}

function validateCsi(field: string, source: Source): Errors {
  const { driver = "", nodePublishSecretRef } = source as {
    readonly driver?: string;
    readonly nodePublishSecretRef?: { readonly name?: string };
  };
  const errors: FieldError[] = [...csiDriverName(`${field}.driver`, driver)];
  if (nodePublishSecretRef && !nodePublishSecretRef.name) errors.push(required(`${field}.nodePublishSecretRef.name`));
  return errors;
}

/** A CSI driver's name: at most 63 characters, a DNS subdomain but for capitals. */
export function csiDriverName(field: string, driver: string): Errors {
  if (driver === "") return [required(field)];
  const errors: FieldError[] = driver.length > 63 ? [tooLong(field, 63)] : [];
  return [...errors, ...isDns1123Subdomain(driver.toLowerCase()).map((detail) => invalid(field, driver, detail))];
}

function validateImage(field: string, source: Source): Errors {
  const { reference, pullPolicy = "" } = source as { readonly reference?: string; readonly pullPolicy?: string };
  const policies = ["Always", "IfNotPresent", "Never"];
  return [
    ...(reference ? [] : [required(`${field}.reference`)]),
    ...(policies.includes(pullPolicy) ? [] : [notSupported(`${field}.pullPolicy`, pullPolicy, policies)]),
  ];
}

function validateAzureDisk(field: string, source: Source): Errors {
  const { cachingMode = "ReadWrite", kind = "Shared" } = source as {
    readonly cachingMode?: string;
    readonly kind?: string;
  };
  const [modes, kinds] = [
    ["None", "ReadOnly", "ReadWrite"],
    ["Dedicated", "Managed", "Shared"],
  ] as const;
  return [
    ...(modes.includes(cachingMode as "None") ? [] : [notSupported(`${field}.cachingMode`, cachingMode, modes)]),
    ...(kinds.includes(kind as "Shared") ? [] : [notSupported(`${field}.kind`, kind, kinds)]),
  ];
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);
}
