/**
 * What CSI drivers say of themselves and of nodes, attachments of volumes, and classes of volume attributes. As pkg/apis/storage/{v1/defaults.go,validation}.
 */
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  VolumeAttachment,
  VolumeAttributesClass,
} from "#api/generated/types/storage-v1.ts";
import { ensureObject, setDefault } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateImmutable, validateSupported } from "#api/validation.ts";
import { type FieldError, required } from "#apimachinery/field-error.ts";

export const csiDriverStrategy: KindStrategy<CSIDriver> = {
  // Upstream gives it one with the first change only; nothing reads it.
  hasNoGeneration: true,
  allowsUnconditionalUpdate: false,
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    setDefault(spec, "attachRequired", true);
    setDefault(spec, "podInfoOnMount", false);
    setDefault(spec, "storageCapacity", false);
    setDefault(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if (!spec["volumeLifecycleModes"]?.length) spec["volumeLifecycleModes"] = ["Persistent"];
    setDefault(spec, "requiresRepublish", false);
    setDefault(spec, "seLinuxMount", false);
  },
  validate: validateDriver,
  validateUpdate: (driver, old) => [
    ...validateDriver(driver),
    ...validateImmutable("spec.attachedRequired", driver.spec?.attachRequired, old.spec?.attachRequired),
    ...validateImmutable(
      "spec.volumeLifecycleModes",
      driver.spec?.volumeLifecycleModes,
      old.spec?.volumeLifecycleModes,
    ),
  ],
};

export const csiNodeStrategy: KindStrategy<CSINode> = { allowsUnconditionalUpdate: false, hasNoGeneration: true };

export const csiStorageCapacityStrategy: KindStrategy<CSIStorageCapacity> = {
  allowsUnconditionalUpdate: false,
  validate: ({ storageClassName }) => (storageClassName ? [] : [required("storageClassName")]),
  validateUpdate: (capacity, old) => [
    ...validateImmutable("nodeTopology", capacity.nodeTopology, old.nodeTopology),
    ...validateImmutable("storageClassName", capacity.storageClassName, old.storageClassName),
  ],
};

export const volumeAttachmentStrategy: KindStrategy<VolumeAttachment> = {
  allowsUnconditionalUpdate: false,
  hasNoGeneration: true,
  prepareForCreate(draft) {
    draft["status"] = { attached: false };
  },
  validate: ({ spec }) => [
    ...(spec?.attacher ? [] : [required("spec.attacher")]),
    ...(spec?.nodeName ? [] : [required("spec.nodeName")]),
  ],
  validateUpdate: ({ spec }, old) => validateImmutable("spec", spec, old.spec),
};

export const volumeAttributesClassStrategy: KindStrategy<VolumeAttributesClass> = {
  validate: ({ driverName }) => (driverName ? [] : [required("driverName")]),
  validateUpdate: (attributesClass, old) => [
    ...validateImmutable("driverName", attributesClass.driverName, old.driverName),
    ...validateImmutable("parameters", attributesClass.parameters, old.parameters),
  ],
};

function validateDriver({ spec }: CSIDriver): readonly FieldError[] {
  const modes = spec?.volumeLifecycleModes ?? [];
  return [
    ...validateSupported("spec.fsGroupPolicy", spec?.fsGroupPolicy, ["File", "None", "ReadWriteOnceWithFSType"]),
    ...modes.flatMap((mode) => validateSupported("spec.volumeLifecycleModes", mode, ["Persistent", "Ephemeral"])),
  ];
}
