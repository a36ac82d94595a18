/**
 * Pods: defaults, validation, what an update may change, graceful deletion. As pkg/registry/core/pod/strategy.go.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { ensureObject, itemsOf } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { applyPodDefaults, applyPodSpecDefaults } from "./pod-spec-defaults.ts";
import { qosClassOf } from "./pod-qos.ts";
import { mergeLabelKeys } from "./label-keys.ts";
import { validatePodCreate, validatePodStatusUpdate, validatePodUpdate } from "./validation/pod.ts";

export const podStrategy: KindStrategy<Pod> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    applyPodSpecDefaults(spec);
    applyPodDefaults(spec);
  },
  prepareForCreate(draft) {
    const spec = draft["spec"] as Draft;
    draft["status"] = { phase: "Pending", qosClass: qosClassOf(spec), ...gatedCondition(spec) };
    mergeLabelKeys(spec, draft["metadata"]?.labels ?? {});
  },
  validate: validatePodCreate,
  validateUpdate: validatePodUpdate,
  validateStatusUpdate: validatePodStatusUpdate,
  prepareForStatusUpdate(draft, old) {
    const status = ensureObject(draft, "status");
    if (!status["qosClass"] && old.status?.qosClass) status["qosClass"] = old.status.qosClass;
    if (!status["observedGeneration"] && old.status?.observedGeneration) {
      status["observedGeneration"] = old.status.observedGeneration;
    }
    if (old.metadata?.ownerReferences) draft["metadata"].ownerReferences = old.metadata.ownerReferences;
  },
  selectableFields: ({ spec, status }) => ({
    "spec.nodeName": spec?.nodeName ?? "",
    "spec.restartPolicy": spec?.restartPolicy ?? "",
    "spec.schedulerName": spec?.schedulerName ?? "",
    "spec.serviceAccountName": spec?.serviceAccountName ?? "",
    "spec.hostNetwork": String(spec?.hostNetwork ?? false),
    "status.phase": status?.phase ?? "",
    "status.podIP": status?.podIP ?? "",
    "status.nominatedNodeName": status?.nominatedNodeName ?? "",
  }),
  deletionGracePeriodSeconds({ spec, status }, asked) {
    // Nothing runs on a node yet, or nothing runs any more.
    if (!spec?.nodeName || status?.phase === "Failed" || status?.phase === "Succeeded") return 0;
    const seconds = asked ?? spec.terminationGracePeriodSeconds ?? 0;
    return seconds < 0 ? 1 : seconds;
  },
};

/** A pod with scheduling gates says at once that it waits for them. */
function gatedCondition(spec: Draft): Draft {
  if (itemsOf(spec["schedulingGates"]).length === 0) return {};
  const message = "Scheduling is blocked due to non-empty scheduling gates";
  return {
    conditions: [
      {
        type: "PodScheduled",
        status: "False",
        reason: "SchedulingGated",
        message,
        lastProbeTime: null,
        lastTransitionTime: null,
      },
    ],
  };
}
