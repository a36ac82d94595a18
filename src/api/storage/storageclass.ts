/**
 * StorageClasses. As pkg/apis/storage/{v1/defaults.go,validation}.
 */
import type { StorageClass } from "#api/generated/types/storage-v1.ts";
import { setDefault } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { messagesAt, validateImmutable, validateSupported } from "#api/validation.ts";
import { type FieldError, required } from "#apimachinery/field-error.ts";
import { isQualifiedName } from "#apimachinery/names.ts";

export const storageClassStrategy: KindStrategy<StorageClass> = {
  applyDefaults(draft) {
    setDefault(draft, "reclaimPolicy", "Delete");
    setDefault(draft, "volumeBindingMode", "Immediate");
  },
  validate,
  validateUpdate: (storageClass, old) => [
    ...validateImmutable("parameters", storageClass.parameters, old.parameters),
    ...validateImmutable("provisioner", storageClass.provisioner, old.provisioner),
    ...validateImmutable("reclaimPolicy", storageClass.reclaimPolicy, old.reclaimPolicy),
    ...validateImmutable("volumeBindingMode", storageClass.volumeBindingMode, old.volumeBindingMode),
  ],
};

function validate({ provisioner, reclaimPolicy, volumeBindingMode }: StorageClass): readonly FieldError[] {
  return [
    ...(provisioner
      ? messagesAt("provisioner", provisioner.toLowerCase(), isQualifiedName(provisioner.toLowerCase()))
      : [required("provisioner")]),
    ...validateSupported("reclaimPolicy", reclaimPolicy, ["Delete", "Retain"]),
    ...validateSupported("volumeBindingMode", volumeBindingMode, ["Immediate", "WaitForFirstConsumer"]),
  ];
}
