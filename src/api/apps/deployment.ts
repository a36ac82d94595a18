/**
 * Deployments. As pkg/apis/apps/v1/defaults.go and pkg/registry/apps/deployment/strategy.go.
 */
import { isDeepStrictEqual } from "node:util";
import type { Deployment } from "#api/generated/types/apps-v1.ts";
import { applyPodTemplateDefaults } from "#api/core/pod-spec-defaults.ts";
import { ensureObject, setDefault, setTextDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateDeployment, validateDeploymentStatus, validateDeploymentUpdate } from "./deployment-validation.ts";

export const deploymentStrategy: KindStrategy<Deployment> = {
  applyDefaults(draft) {
    const spec = ensureObject(draft, "spec");
    setDefault(spec, "replicas", 1);
    const strategy = ensureObject(spec, "strategy");
    setTextDefault(strategy, "type", "RollingUpdate");
    if (strategy["type"] === "RollingUpdate") {
      const rollingUpdate = ensureObject(strategy, "rollingUpdate");
      setDefault(rollingUpdate, "maxUnavailable", "25%");
      setDefault(rollingUpdate, "maxSurge", "25%");
    }
    setDefault(spec, "revisionHistoryLimit", 10);
    setDefault(spec, "progressDeadlineSeconds", 600);
    applyPodTemplateDefaults(spec["template"] as Draft);
  },
  prepareForCreate(draft) {
    draft["status"] = {};
  },
  prepareForUpdate(draft, old) {
    // Annotations go on to the ReplicaSets, so a change of them is one that the controller must see.
    const isSame = isDeepStrictEqual(draft["metadata"].annotations ?? {}, old.metadata?.annotations ?? {});
    if (!isSame) draft["metadata"].generation = (old.metadata?.generation ?? 0) + 1;
  },
  validate: validateDeployment,
  validateUpdate: validateDeploymentUpdate,
  validateStatusUpdate: validateDeploymentStatus,
};
