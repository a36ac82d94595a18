/**
 * Which writes Serving's webhooks are asked about.
 */
import type { WebhookRule } from "#knative/admission/webhook-configurations.ts";
import { servingGroup } from "#serving/names.ts";

/** Serving's own kinds. */
export const servingRules: readonly WebhookRule[] = [
  {
    apiGroups: [servingGroup],
    apiVersions: ["v1"],
    resources: ["services", "configurations", "revisions", "routes"],
  },
  { apiGroups: [servingGroup], apiVersions: ["v1beta1"], resources: ["domainmappings"] },
];
