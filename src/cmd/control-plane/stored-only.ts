/**
 * Tells whoever writes an object of a kind on which nothing acts here yet that it is so, as a header `Warning: 299`: silence would be taken for success. The kinds are those that SCOPE.md calls
 * "stored only"; one that is acted on leaves this table.
 */
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";

const volumes = "nothing provides or binds volumes yet, and pods that claim some stay Pending";
const devices = "nothing allocates devices yet";

const meanings: Readonly<Record<string, string>> = {
  "networking.k8s.io/NetworkPolicy": "is stored but not enforced yet",
  "autoscaling/HorizontalPodAutoscaler": "is stored but nothing scales by it yet",
  "/PersistentVolumeClaim": `is stored but ${volumes}`,
  "/PersistentVolume": `is stored but ${volumes}`,
  "storage.k8s.io/StorageClass": `is stored but ${volumes}`,
  "storage.k8s.io/VolumeAttachment": "is stored but nothing attaches volumes yet",
  "storage.k8s.io/CSIDriver": "is stored but drivers of volumes are not used yet",
  "resource.k8s.io/DeviceClass": `is stored but ${devices}`,
  "resource.k8s.io/ResourceClaim": `is stored but ${devices}`,
  "resource.k8s.io/ResourceClaimTemplate": `is stored but ${devices}`,
};

/** The plugin. It refuses nothing. */
export class StoredOnlyWarnings implements AdmissionPlugin {
  readonly name = "StoredOnlyWarnings";

  handles({ operation, request, kind, warn }: AdmissionAttributes): boolean {
    if (warn === undefined || request.subresource !== "") return false;
    return (operation === "CREATE" || operation === "UPDATE") && meanings[`${kind.group}/${kind.kind}`] !== undefined;
  }

  async validate({ kind, warn }: AdmissionAttributes): Promise<void> {
    warn?.(`${kind.kind} ${meanings[`${kind.group}/${kind.kind}`]}: see SCOPE.md of nodeless`);
  }
}
