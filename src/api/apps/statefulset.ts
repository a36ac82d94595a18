/**
 * StatefulSets. As pkg/apis/apps/v1/defaults.go and pkg/registry/apps/statefulset/strategy.go.
 */
import type { StatefulSet } from "#api/generated/types/apps-v1.ts";
import { persistentVolumeClaimStrategy } from "#api/core/persistentvolumeclaim.ts";
import { applyPodTemplateDefaults } from "#api/core/pod-spec-defaults.ts";
import { ensureObject, itemsOf, setDefault, setTextDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateStatefulSet, validateStatefulSetStatus, validateStatefulSetUpdate } from "./set-validation.ts";

export const statefulSetStrategy: KindStrategy<StatefulSet> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    setTextDefault(spec, "podManagementPolicy", "OrderedReady");
    applyUpdateStrategyDefaults(ensureObject(spec, "updateStrategy"));
    const retention = ensureObject(spec, "persistentVolumeClaimRetentionPolicy");
    setTextDefault(retention, "whenDeleted", "Retain");
    setTextDefault(retention, "whenScaled", "Retain");
    setDefault(spec, "replicas", 1);
    setDefault(spec, "revisionHistoryLimit", 10);
    applyPodTemplateDefaults(spec["template"] as Draft);
    for (const claim of itemsOf(spec["volumeClaimTemplates"])) {
      setTextDefault(claim, "apiVersion", "v1");
      setTextDefault(claim, "kind", "PersistentVolumeClaim");
      persistentVolumeClaimStrategy.applyDefaults?.(claim);
    }
  },
  prepareForCreate(draft) {
    draft["status"] = { replicas: 0, availableReplicas: 0 };
  },
  validate: validateStatefulSet,
  validateUpdate: validateStatefulSetUpdate,
  validateStatusUpdate: validateStatefulSetStatus,
};

function applyUpdateStrategyDefaults(strategy: Draft): void {
  if (!strategy["type"]) {
    strategy["type"] = "RollingUpdate";
    setDefault(strategy, "rollingUpdate", {});
  }
  if (strategy["type"] === "RollingUpdate" && strategy["rollingUpdate"])
    setDefault(strategy["rollingUpdate"] as Draft, "partition", 0);
}
