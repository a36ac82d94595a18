/**
 * ResourceQuotas. As pkg/registry/core/resourcequota/strategy.go.
 */
import type { ResourceQuota } from "#api/generated/types/core-v1.ts";
import { ensureObject } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { roundUpToMilli } from "./pod-spec-defaults.ts";
import { validateResourceQuota, validateResourceQuotaUpdate } from "./validation/quotas.ts";

export const resourceQuotaStrategy: KindStrategy<ResourceQuota> = {
  applyDefaults: (draft) => roundUpToMilli(ensureObject(draft, "spec")["hard"]),
  prepareForCreate(draft) {
    draft["status"] = {};
  },
  validate: validateResourceQuota,
  validateUpdate: validateResourceQuotaUpdate,
  hasNoGeneration: true,
};
