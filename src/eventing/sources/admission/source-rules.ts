/**
 * Which writes of sources the webhooks are asked about.
 */
import { nodelessGroup, sourcesGroup } from "#eventing/sources/kinds.ts";
import type { WebhookRule } from "#knative/admission/webhook-configurations.ts";

export const sourceRules: readonly WebhookRule[] = [
  {
    apiGroups: [sourcesGroup],
    apiVersions: ["v1", "v1beta2"],
    resources: ["pingsources", "apiserversources", "containersources", "sinkbindings"],
  },
  { apiGroups: [nodelessGroup], apiVersions: ["v1alpha1"], resources: ["objectsources", "gitsources"] },
];
