/**
 * PersistentVolumeClaims. As pkg/registry/core/persistentvolumeclaim/strategy.go.
 */
import type { PersistentVolumeClaim } from "#api/generated/types/core-v1.ts";
import { ensureObject, setTextDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { applyClaimSpecDefaults } from "./pod-spec-defaults.ts";
import { validateClaim, validateClaimUpdate } from "./validation/volume-objects.ts";

/** Sources that the older field dataSource can name too. */
const plainSourceKinds = ["PersistentVolumeClaim", "VolumeSnapshot"];

export const persistentVolumeClaimStrategy: KindStrategy<PersistentVolumeClaim> = {
  applyDefaults(draft) {
    applyClaimSpecDefaults(ensureObject(draft, "spec"));
    setTextDefault(ensureObject(draft, "status"), "phase", "Pending");
  },
  prepareForCreate(draft) {
    draft["status"] = { phase: "Pending" };
    joinDataSources(draft["spec"] as Draft);
  },
  validate: validateClaim,
  validateUpdate: validateClaimUpdate,
  hasNoGeneration: true,
};

/** The old and the new field for the data to begin with say the same. */
function joinDataSources(spec: Draft): void {
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && !dataSourceRef) spec["dataSourceRef"] = { ...dataSource };
  if (
    dataSourceRef &&
    !dataSource &&
    !dataSourceRef.namespace &&
    plainSourceKinds.includes(dataSourceRef.kind as string)
  ) {
    const { apiGroup, kind, name } = dataSourceRef;
    spec["dataSource"] = { ...(apiGroup === undefined ? {} : { apiGroup }), kind, name };
  }
}
