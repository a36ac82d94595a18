/**
 * PersistentVolumes. As pkg/registry/core/persistentvolume/strategy.go.
 */
import type { PersistentVolume } from "#api/generated/types/core-v1.ts";
import { ensureObject, setDefault, setTextDefault } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { applyVolumeSourceDefaults, roundUpToMilli } from "./pod-spec-defaults.ts";
import { validatePersistentVolume, validatePersistentVolumeUpdate } from "./validation/volume-objects.ts";

export const persistentVolumeStrategy: KindStrategy<PersistentVolume> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    setTextDefault(spec, "persistentVolumeReclaimPolicy", "Retain");
    setDefault(spec, "volumeMode", "Filesystem");
    if (spec["hostPath"]) setDefault(spec["hostPath"], "type", "");
    applyVolumeSourceDefaults(spec);
    roundUpToMilli(spec["capacity"]);
    setTextDefault(ensureObject(draft, "status"), "phase", "Pending");
  },
  prepareForCreate(draft) {
    draft["status"] = { phase: "Pending", lastPhaseTransitionTime: draft["metadata"].creationTimestamp };
  },
  validate: validatePersistentVolume,
  validateUpdate: validatePersistentVolumeUpdate,
  hasNoGeneration: true,
};
