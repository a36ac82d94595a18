/**
 * What Eventing's webhooks say to writes of its kinds and of its ConfigMaps.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { defaultEventingConfig, type EventingConfig, parseEventingConfigMap } from "#eventing/config/config-store.ts";
import { eventingGroup, eventingNamespace, flowsGroup, messagingGroup } from "#eventing/names.ts";
import { reviewersOf, type Reviewers } from "#knative/admission/admission-review.ts";
import { brokerAdmission } from "./broker-admission.ts";
import { channelAdmission, inMemoryChannelAdmission } from "./channel-admission.ts";
import type { EventingAdmission } from "./context.ts";
import { eventPolicyAdmission, eventTypeAdmission } from "./event-type-admission.ts";
import { parallelAdmission, sequenceAdmission } from "./flows-admission.ts";
import { subscriptionAdmission } from "./subscription-admission.ts";
import { triggerAdmission } from "./trigger-admission.ts";

type Admissions = Readonly<Record<string, EventingAdmission<KubeObject>>>;

/** Eventing's reviewers, which go by the configuration of the moment. */
export function eventingReviewers(config: () => EventingConfig = () => defaultEventingConfig): Reviewers {
  return reviewersOf({
    kinds: admissions,
    config,
    configMaps: { namespace: eventingNamespace, parse: parseEventingConfigMap },
  });
}

const admissions = {
  [eventingGroup]: {
    Broker: brokerAdmission,
    Trigger: triggerAdmission,
    EventType: eventTypeAdmission,
    EventPolicy: eventPolicyAdmission,
  },
  [messagingGroup]: {
    Channel: channelAdmission,
    InMemoryChannel: inMemoryChannelAdmission,
    Subscription: subscriptionAdmission,
  },
  [flowsGroup]: { Sequence: sequenceAdmission, Parallel: parallelAdmission },
} as unknown as Readonly<Record<string, Admissions>>;
