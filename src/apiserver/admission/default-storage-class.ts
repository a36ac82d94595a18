/**
 * Claims that name no storage class get the default one: the newest that is marked. As plugin/pkg/admission/storage/storageclass/setdefault.
 */
import type { PersistentVolumeClaim } from "#api/generated/types/core-v1.ts";
import type { StorageClass } from "#api/generated/types/storage-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Informer } from "#client/informer.ts";
import { draftOf, isWriteTo, synced } from "./admission-tools.ts";

const marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const oldAnnotation = "volume.beta.kubernetes.io/storage-class";

export class DefaultStorageClassPlugin implements AdmissionPlugin {
  readonly name = "DefaultStorageClass";
  readonly #storageClasses: Informer<StorageClass>;

  constructor(storageClasses: Informer<StorageClass>) {
    this.#storageClasses = storageClasses;
  }

  handles(attributes: AdmissionAttributes): boolean {
    if (attributes.operation !== "CREATE" || !isWriteTo(attributes, "", "persistentvolumeclaims")) return false;
    const { spec, metadata } = attributes.object as PersistentVolumeClaim;
    // The empty name means: none, ever.
    return spec?.storageClassName == null && metadata?.annotations?.[oldAnnotation] === undefined;
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const [newest] = (await synced(this.#storageClasses)).list().filter(isDefault).sort(byAge);
    if (!newest) return undefined;
    const draft = draftOf(attributes);
    draft["spec"].storageClassName = newest.metadata?.name;
    return draft as KubeObject;
  }
}

function isDefault({ metadata }: StorageClass): boolean {
  return marks.some((mark) => metadata?.annotations?.[mark] === "true");
}

function byAge(a: StorageClass, b: StorageClass): number {
  const [left, right] = [a.metadata?.creationTimestamp ?? "", b.metadata?.creationTimestamp ?? ""];
  if (left !== right) return left > right ? -1 : 1;
  return (a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1;
}
