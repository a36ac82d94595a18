/**
 * DaemonSets. As pkg/apis/apps/v1/defaults.go and pkg/registry/apps/daemonset/strategy.go.
 */
import type { DaemonSet } from "#api/generated/types/apps-v1.ts";
import { applyPodTemplateDefaults } from "#api/core/pod-spec-defaults.ts";
import { ensureObject, setDefault, setTextDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateDaemonSet, validateDaemonSetUpdate } from "./set-validation.ts";

/** Counts the changes of the template; what was a field of its own in older versions lives on in this annotation. */
const templateGeneration = "deprecated.daemonset.template.generation";

export const daemonSetStrategy: KindStrategy<DaemonSet> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    const strategy = ensureObject(spec, "updateStrategy");
    setTextDefault(strategy, "type", "RollingUpdate");
    if (strategy["type"] === "RollingUpdate") {
      const rollingUpdate = ensureObject(strategy, "rollingUpdate");
      setDefault(rollingUpdate, "maxUnavailable", 1);
      setDefault(rollingUpdate, "maxSurge", 0);
    }
    setDefault(spec, "revisionHistoryLimit", 10);
    applyPodTemplateDefaults(spec["template"] as Draft);
  },
  prepareForCreate(draft) {
    draft["status"] = { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 };
    const annotations = ensureObject(draft["metadata"] as Draft, "annotations");
    if (!(Number(annotations[templateGeneration]) >= 1)) annotations[templateGeneration] = "1";
  },
  validate: validateDaemonSet,
  validateUpdate: validateDaemonSetUpdate,
  prepareForUpdate(draft, old) {
    const before = Number(old.metadata?.annotations?.[templateGeneration] ?? 0);
    const isSame = JSON.stringify(draft["spec"].template) === JSON.stringify(old.spec?.template);
    ensureObject(draft["metadata"] as Draft, "annotations")[templateGeneration] = String(isSame ? before : before + 1);
  },
};
