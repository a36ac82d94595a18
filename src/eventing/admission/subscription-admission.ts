/**
 * Defaulting and validation of Subscriptions. Behaviour and messages as upstream's `pkg/apis/messaging/v1/subscription_*.go` (v1.22).
 */
import type { Subscription } from "#eventing/kinds.ts";
import {
  disallowedFields,
  type FieldError,
  immutableChanged,
  missingField,
  viaField,
} from "#knative/admission/field-error.ts";
import { shortDiff } from "#knative/admission/short-diff.ts";
import {
  type Destination,
  isEmptyDestination,
  type KReference,
  validateDestination,
  validateReference,
  withDestinationDefaults,
} from "#knative/destination.ts";
import { type EventingAdmission, type EventingAdmissionContext, namespaceOf, referenceRules } from "./context.ts";
import { validateDelivery, withDeliveryDefaults } from "./delivery-admission.ts";

export const subscriptionAdmission: EventingAdmission<Subscription> = {
  withDefaults(subscription) {
    const namespace = namespaceOf(subscription);
    const { spec = {} } = subscription;
    const { subscriber, reply, delivery } = spec;
    return {
      ...subscription,
      spec: {
        ...spec,
        ...(subscriber === undefined ? {} : { subscriber: withDestinationDefaults(subscriber, namespace) }),
        ...(reply === undefined ? {} : { reply: withDestinationDefaults(reply, namespace) }),
        ...(delivery === undefined ? {} : { delivery: withDeliveryDefaults(delivery, namespace) }),
      },
    };
  },

  validate(subscription, before, context) {
    // Who is told, and how, may change; what is subscribed to may not.
    const rest = ({ spec }: Subscription) => ({
      ...spec,
      subscriber: undefined,
      reply: undefined,
      delivery: undefined,
    });
    return [
      ...viaField("spec", validateSpec(subscription, context)),
      ...(before === undefined ? [] : immutableChanged(shortDiff(rest(before), rest(subscription)), "fields", "spec")),
    ];
  },
};

function validateSpec({ spec = {} }: Subscription, context: EventingAdmissionContext): readonly FieldError[] {
  const { channel, subscriber, reply, delivery } = spec;
  if (channel === undefined || Object.keys(channel).length === 0)
    return [{ ...missingField("channel"), details: "the Subscription must reference a channel" }];
  return [
    ...viaField("channel", validateChannel(channel, context)),
    ...validateSubscriber(subscriber, context),
    ...(isEmptyDestination(reply) ? [] : viaField("reply", validateDestination(reply, referenceRules(context)))),
    ...viaField("delivery", validateDelivery(delivery, context)),
  ];
}

function validateSubscriber(
  subscriber: Destination | undefined,
  context: EventingAdmissionContext,
): readonly FieldError[] {
  if (isEmptyDestination(subscriber))
    return [{ ...missingField("subscriber"), details: "the Subscription must reference a subscriber" }];
  return viaField("subscriber", validateDestination(subscriber, referenceRules(context)));
}

function validateChannel(channel: KReference, context: EventingAdmissionContext): readonly FieldError[] {
  const details =
    "only name, apiVersion and kind are supported fields when feature.CrossNamespaceEventLinks is disabled";
  const mayLink = context.config.features.crossNamespaceEventLinks;
  return [
    ...validateReference(channel, referenceRules(context)),
    ...(channel.namespace && !mayLink ? [{ ...disallowedFields("namespace"), details }] : []),
  ];
}
