/**
 * Claims grow only where their storage class can. As plugin/pkg/admission/storage/persistentvolume/resize.
 */
import type { PersistentVolumeClaim } from "#api/generated/types/core-v1.ts";
import type { StorageClass } from "#api/generated/types/storage-v1.ts";
import { compareQuantities, parseQuantity } from "#apimachinery/quantity.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Informer } from "#client/informer.ts";
import { isWriteTo, refuse, synced } from "./admission-tools.ts";

export class PersistentVolumeClaimResizePlugin implements AdmissionPlugin {
  readonly name = "PersistentVolumeClaimResize";
  readonly #storageClasses: Informer<StorageClass>;

  constructor(storageClasses: Informer<StorageClass>) {
    this.#storageClasses = storageClasses;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return attributes.operation === "UPDATE" && isWriteTo(attributes, "", "persistentvolumeclaims");
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const [before, after] = [attributes.oldObject as PersistentVolumeClaim, attributes.object as PersistentVolumeClaim];
    const [old, now] = [storageOf(before), storageOf(after)];
    if (!old || !now || compareQuantities(parseQuantity(now), parseQuantity(old)) <= 0) return;
    if (before.status?.phase !== "Bound")
      throw refuse(attributes, "Only bound persistent volume claims can be expanded");
    const name = after.spec?.storageClassName ?? before.spec?.storageClassName ?? "";
    const storageClass = (await synced(this.#storageClasses)).find("", name);
    if (storageClass?.allowVolumeExpansion === true) return;
    throw refuse(
      attributes,
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    );
  }
}

function storageOf({ spec }: PersistentVolumeClaim): string | undefined {
  return spec?.resources?.requests?.["storage"];
}
