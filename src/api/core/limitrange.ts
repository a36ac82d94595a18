/**
 * LimitRanges: for containers, what is not said follows from what is. As pkg/apis/core/v1's SetDefaults_LimitRangeItem.
 */
import type { LimitRange } from "#api/generated/types/core-v1.ts";
import { itemsOf } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateLimitRange } from "./validation/quotas.ts";

export const limitRangeStrategy: KindStrategy<LimitRange> = {
  applyDefaults(draft) {
    for (const limit of itemsOf(draft["spec"]?.limits)) {
      if (limit["type"] !== "Container") continue;
      limit["default"] = { ...limit["max"], ...limit["default"] };
      limit["defaultRequest"] = { ...limit["min"], ...limit["default"], ...limit["defaultRequest"] };
    }
  },
  validate: validateLimitRange,
  allowsCreateOnUpdate: true,
  hasNoGeneration: true,
};
