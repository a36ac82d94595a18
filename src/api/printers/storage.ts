/**
 * Tables of volumes, claims, and what provides them.
 */
import type { Draft, TablePrinter } from "#api/strategy.ts";
import { ageColumn, ageOf, boolean, column, integer, nameColumn, namedAndAged, nameOf, textOr, wide } from "./cells.ts";

export const persistentVolumePrinter: TablePrinter = {
  columns: [
    nameColumn,
    ...[
      "Capacity",
      "Access Modes",
      "Reclaim Policy",
      "Status",
      "Claim",
      "StorageClass",
      "VolumeAttributesClass",
      "Reason",
    ].map((name) => column(name)),
    ageColumn,
    wide("VolumeMode"),
  ],
  row: (volume, now) => {
    const { spec = {}, status = {} }: Draft = volume;
    const claim: Draft | undefined = spec.claimRef;
    return [
      nameOf(volume),
      textOr(spec.capacity?.storage, "0"),
      accessModes(spec.accessModes),
      spec.persistentVolumeReclaimPolicy ?? "",
      phaseOf(volume),
      claim === undefined ? "" : `${claim["namespace"] ?? ""}/${claim["name"] ?? ""}`,
      storageClassOf(volume),
      spec.volumeAttributesClassName ?? "<unset>",
      status.reason ?? "",
      ageOf(volume, now),
      spec.volumeMode ?? "<unset>",
    ];
  },
};

export const persistentVolumeClaimPrinter: TablePrinter = {
  columns: [
    nameColumn,
    ...["Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass"].map((name) =>
      column(name),
    ),
    ageColumn,
    wide("VolumeMode"),
  ],
  row: (claim, now) => {
    const { spec = {}, status = {} }: Draft = claim;
    const isBound = Boolean(spec.volumeName);
    return [
      nameOf(claim),
      phaseOf(claim),
      spec.volumeName ?? "",
      isBound ? textOr(status.capacity?.storage, "0") : "",
      isBound ? accessModes(status.accessModes) : "",
      storageClassOf(claim),
      spec.volumeAttributesClassName ?? "<unset>",
      ageOf(claim, now),
      spec.volumeMode ?? "<unset>",
    ];
  },
};

export const storageClassPrinter: TablePrinter = {
  columns: [
    nameColumn,
    column("Provisioner"),
    column("ReclaimPolicy"),
    column("VolumeBindingMode"),
    column("AllowVolumeExpansion"),
    ageColumn,
  ],
  row: (object, now) => {
    const annotations: Draft = object["metadata"]?.annotations ?? {};
    const isDefault = ["storageclass.kubernetes.io", "storageclass.beta.kubernetes.io"].some(
      (prefix) => annotations[`${prefix}/is-default-class`] === "true",
    );
    return [
      nameOf(object) + (isDefault ? " (default)" : ""),
      object["provisioner"] ?? "",
      object["reclaimPolicy"] ?? "Delete",
      object["volumeBindingMode"] ?? "Immediate",
      object["allowVolumeExpansion"] ?? false,
      ageOf(object, now),
    ];
  },
};

export const volumeAttributesClassPrinter: TablePrinter = namedAndAged([column("DriverName")], ({ driverName }) => [
  driverName ?? "",
]);

export const volumeAttachmentPrinter: TablePrinter = namedAndAged(
  [column("Attacher", { format: "name" }), column("PV"), column("Node"), boolean("Attached")],
  ({ spec, status }) => [
    spec?.attacher ?? "",
    spec?.source?.persistentVolumeName ?? "",
    spec?.nodeName ?? "",
    status?.attached ?? false,
  ],
);

export const csiNodePrinter: TablePrinter = namedAndAged([integer("Drivers")], ({ spec }) => [
  spec?.drivers?.length ?? 0,
]);

export const csiDriverPrinter: TablePrinter = namedAndAged(
  [
    boolean("AttachRequired"),
    boolean("PodInfoOnMount"),
    boolean("StorageCapacity"),
    column("TokenRequests"),
    boolean("RequiresRepublish"),
    column("Modes"),
  ],
  ({ spec }) => [
    spec?.attachRequired ?? true,
    spec?.podInfoOnMount ?? false,
    spec?.storageCapacity ?? false,
    spec?.tokenRequests?.map(({ audience }: Draft) => audience).join(",") ?? "<unset>",
    spec?.requiresRepublish ?? false,
    (spec?.volumeLifecycleModes ?? []).join(",") || "<none>",
  ],
);

function phaseOf({ metadata, status }: Draft): string {
  return metadata?.deletionTimestamp == null ? (status?.phase ?? "") : "Terminating";
}

/** The annotation of old is asked first. */
function storageClassOf({ metadata, spec }: Draft): string {
  return metadata?.annotations?.["volume.beta.kubernetes.io/storage-class"] ?? spec?.storageClassName ?? "";
}

function accessModes(modes: readonly string[] | undefined): string {
  const short = { ReadWriteOnce: "RWO", ReadOnlyMany: "ROX", ReadWriteMany: "RWX", ReadWriteOncePod: "RWOP" };
  return Object.entries(short)
    .filter(([mode]) => modes?.includes(mode))
    .map(([, text]) => text)
    .join(",");
}
