/**
 * Which writes Eventing's webhooks are asked about.
 */
import { eventingGroup, flowsGroup, messagingGroup } from "#eventing/names.ts";
import { sourceRules } from "#eventing/sources/admission/source-rules.ts";
import type { WebhookRule } from "#knative/admission/webhook-configurations.ts";

/** Eventing's own kinds. */
export const eventingRules: readonly WebhookRule[] = [
  { apiGroups: [eventingGroup], apiVersions: ["v1"], resources: ["brokers", "triggers"] },
  { apiGroups: [eventingGroup], apiVersions: ["v1beta3"], resources: ["eventtypes"] },
  { apiGroups: [eventingGroup], apiVersions: ["v1alpha1"], resources: ["eventpolicies"] },
  { apiGroups: [messagingGroup], apiVersions: ["v1"], resources: ["channels", "inmemorychannels", "subscriptions"] },
  { apiGroups: [flowsGroup], apiVersions: ["v1"], resources: ["sequences", "parallels"] },
  ...sourceRules,
];
