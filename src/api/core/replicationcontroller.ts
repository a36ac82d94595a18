/**
 * ReplicationControllers. As pkg/registry/core/replicationcontroller/strategy.go.
 */
import type { ReplicationController } from "#api/generated/types/core-v1.ts";
import { ensureObject, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { applyPodTemplateDefaults } from "./pod-spec-defaults.ts";
import { validateReplicationController } from "./validation/replicationcontroller.ts";

export const replicationControllerStrategy: KindStrategy<ReplicationController> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    const labels = spec["template"]?.metadata?.labels as Draft | undefined;
    if (labels) {
      if (Object.keys(spec["selector"] ?? {}).length === 0) spec["selector"] = { ...labels };
      const metadata = ensureObject(draft, "metadata");
      if (Object.keys(metadata["labels"] ?? {}).length === 0) metadata["labels"] = { ...labels };
    }
    setDefault(spec, "replicas", 1);
    applyPodTemplateDefaults(spec["template"] as Draft);
  },
  prepareForCreate(draft) {
    draft["status"] = { replicas: 0 };
  },
  validate: validateReplicationController,
  selectableFields: ({ status }) => ({ "status.replicas": String(status?.replicas ?? 0) }),
  defaultGarbageCollection: "orphan",
};
