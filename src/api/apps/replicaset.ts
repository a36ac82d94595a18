/**
 * ReplicaSets. As pkg/apis/apps/v1/defaults.go and pkg/registry/apps/replicaset/strategy.go.
 */
import type { ReplicaSet } from "#api/generated/types/apps-v1.ts";
import { applyPodTemplateDefaults } from "#api/core/pod-spec-defaults.ts";
import { ensureObject, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateReplicaSet, validateReplicaSetStatus, validateReplicaSetUpdate } from "./deployment-validation.ts";

export const replicaSetStrategy: KindStrategy<ReplicaSet> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    setDefault(spec, "replicas", 1);
    applyPodTemplateDefaults(spec["template"] as Draft);
  },
  prepareForCreate(draft) {
    draft["status"] = { replicas: 0 };
  },
  validate: validateReplicaSet,
  validateUpdate: validateReplicaSetUpdate,
  validateStatusUpdate: validateReplicaSetStatus,
  selectableFields: ({ status }) => ({ "status.replicas": String(status?.replicas ?? 0) }),
};
