/**
 * What Eventing's webhooks say to writes of its kinds and of its ConfigMaps.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { defaultEventingConfig, type EventingConfig, parseEventingConfigMap } from "#eventing/config/config-store.ts";
import { eventingGroup, eventingNamespace, flowsGroup, messagingGroup, sourcesGroup } from "#eventing/names.ts";
import {
  apiServerSourceAdmission,
  containerSourceAdmission,
  gitSourceAdmission,
  objectSourceAdmission,
  sinkBindingAdmission,
} from "#eventing/sources/admission/source-admissions.ts";
import { pingSourceAdmission } from "#eventing/sources/admission/ping-source-admission.ts";
import { sinkBindingPath, sinkBindingReviewer } from "#eventing/sources/binding/sink-binding-webhook.ts";
import { nodelessGroup, type SinkBinding } from "#eventing/sources/kinds.ts";
import { reviewersOf, type Reviewers } from "#knative/admission/admission-review.ts";
import { brokerAdmission } from "./broker-admission.ts";
import { channelAdmission, inMemoryChannelAdmission } from "./channel-admission.ts";
import type { EventingAdmission } from "./context.ts";
import { eventPolicyAdmission, eventTypeAdmission } from "./event-type-admission.ts";
import { parallelAdmission, sequenceAdmission } from "./flows-admission.ts";
import { subscriptionAdmission } from "./subscription-admission.ts";
import { triggerAdmission } from "./trigger-admission.ts";

type Admissions = Readonly<Record<string, EventingAdmission<KubeObject>>>;

/** Eventing's reviewers, which go by the configuration and the SinkBindings of the moment. */
export function eventingReviewers(
  config: () => EventingConfig = () => defaultEventingConfig,
  bindings: () => readonly SinkBinding[] = () => [],
): Reviewers {
  const own = reviewersOf({
    kinds: admissions,
    config,
    configMaps: { namespace: eventingNamespace, parse: parseEventingConfigMap },
  });
  return { ...own, [sinkBindingPath]: sinkBindingReviewer(bindings) };
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
  [sourcesGroup]: {
    PingSource: pingSourceAdmission,
    ApiServerSource: apiServerSourceAdmission,
    ContainerSource: containerSourceAdmission,
    SinkBinding: sinkBindingAdmission,
  },
  [nodelessGroup]: { ObjectSource: objectSourceAdmission, GitSource: gitSourceAdmission },
} as unknown as Readonly<Record<string, Admissions>>;
