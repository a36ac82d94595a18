/**
 * Claims of devices, their templates, and the slices in which drivers offer devices. As pkg/apis/resource/{v1/defaults.go,validation}.
 */
import type { ResourceClaim, ResourceClaimTemplate, ResourceSlice } from "#api/generated/types/resource-v1.ts";
import { itemsOf } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateImmutable } from "#api/validation.ts";

export const resourceClaimStrategy: KindStrategy<ResourceClaim> = {
  hasNoGeneration: true,
  applyDefaults: (draft) => applyClaimDefaults(draft["spec"] as Draft | undefined),
  prepareForCreate(draft) {
    draft["status"] = {};
  },
  validateUpdate: ({ spec }, old) => validateImmutable("spec", spec, old.spec),
};

export const resourceClaimTemplateStrategy: KindStrategy<ResourceClaimTemplate> = {
  hasNoGeneration: true,
  applyDefaults: (draft) => applyClaimDefaults(draft["spec"]?.spec as Draft | undefined),
  validateUpdate: ({ spec }, old) => validateImmutable("spec", spec, old.spec),
};

export const resourceSliceStrategy: KindStrategy<ResourceSlice> = {
  selectableFields: ({ spec }) => ({ "spec.nodeName": spec?.nodeName ?? "", "spec.driver": spec?.driver ?? "" }),
};

function applyClaimDefaults(spec: Draft | undefined): void {
  for (const request of itemsOf(spec?.["devices"]?.requests)) {
    const alternatives = [request["exactly"], ...itemsOf(request["firstAvailable"])];
    for (const each of alternatives.filter(Boolean) as Draft[]) {
      if (!each["allocationMode"]) each["allocationMode"] = "ExactCount";
      if (each["allocationMode"] === "ExactCount" && !each["count"]) each["count"] = 1;
    }
  }
}
