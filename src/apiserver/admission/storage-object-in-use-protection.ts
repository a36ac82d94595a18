/**
 * Volumes and claims get a finalizer, which controllers take off when nobody uses them any more. As plugin/pkg/admission/storage/storageobjectinuseprotection.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import { draftOf } from "./admission-tools.ts";

const finalizers: ReadonlyMap<string, string> = new Map([
  ["/persistentvolumes", "kubernetes.io/pv-protection"],
  ["/persistentvolumeclaims", "kubernetes.io/pvc-protection"],
  ["storage.k8s.io/volumeattributesclasses", "kubernetes.io/vac-protection"],
]);

export class StorageObjectInUseProtectionPlugin implements AdmissionPlugin {
  readonly name = "StorageObjectInUseProtection";

  handles(attributes: AdmissionAttributes): boolean {
    const finalizer = finalizerOf(attributes);
    if (attributes.operation !== "CREATE" || attributes.request.subresource !== "" || finalizer === undefined)
      return false;
    return !attributes.object?.metadata?.finalizers?.includes(finalizer);
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const draft = draftOf(attributes);
    draft["metadata"].finalizers = [...(draft["metadata"].finalizers ?? []), finalizerOf(attributes)];
    return draft as KubeObject;
  }
}

function finalizerOf({ request }: AdmissionAttributes): string | undefined {
  return finalizers.get(`${request.apiGroup}/${request.resource}`);
}
