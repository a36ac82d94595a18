/**
 * What Serving's webhooks say to writes of its kinds and of its ConfigMaps.
 */
import { reviewersOf, type Reviewers } from "#knative/admission/admission-review.ts";
import { defaultServingConfig, parseConfigMap, type ServingConfig } from "#serving/config/config-store.ts";
import { servingGroup, servingNamespace } from "#serving/names.ts";
import { kindAdmissions } from "./kind-admission.ts";

/** Serving's reviewers, which go by the configuration of the moment. */
export function servingReviewers(config: () => ServingConfig = defaultServingConfig): Reviewers {
  return reviewersOf({
    kinds: { [servingGroup]: kindAdmissions },
    config,
    configMaps: { namespace: servingNamespace, parse: parseConfigMap },
  });
}
