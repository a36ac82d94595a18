/**
 * Defaulting and validation of Brokers. Behaviour and messages as upstream's `pkg/apis/eventing/v1/broker_*.go` (v1.22).
 */
import { findBrokerClass, findBrokerDefaults, mayConfigElsewhere } from "#eventing/config/broker-defaults-config.ts";
import type { Broker } from "#eventing/kinds.ts";
import { annotations } from "#eventing/names.ts";
import { type FieldError, immutableChanged, missingField, viaField } from "#knative/admission/field-error.ts";
import { shortDiff } from "#knative/admission/short-diff.ts";
import { validateReference, withReferenceDefaults } from "#knative/destination.ts";
import { type EventingAdmission, type EventingAdmissionContext, namespaceOf, referenceRules } from "./context.ts";
import { validateDelivery, withDeliveryDefaults } from "./delivery-admission.ts";

export const brokerAdmission: EventingAdmission<Broker> = {
  withDefaults(broker, _before, context) {
    const { brokerDefaults } = context.config;
    const namespace = namespaceOf(broker);
    const given = broker.metadata?.annotations?.[annotations.brokerClass];
    const brokerClass = given ?? findBrokerClass(brokerDefaults, namespace);
    const metadata =
      given !== undefined || brokerClass === undefined
        ? broker.metadata
        : {
            ...broker.metadata,
            annotations: { ...broker.metadata?.annotations, [annotations.brokerClass]: brokerClass },
          };
    return { ...broker, ...(metadata === undefined ? {} : { metadata }), spec: specWithDefaults(broker, context) };
  },

  validate(broker, before, context) {
    return [
      ...(broker.metadata?.annotations?.[annotations.brokerClass] ? [] : [missingField(annotations.brokerClass)]),
      ...viaField("spec", validateSpec(broker, context)),
      ...(before === undefined ? [] : checkImmutable(broker, before)),
    ];
  },
};

function specWithDefaults(broker: Broker, { config }: EventingAdmissionContext): NonNullable<Broker["spec"]> {
  const namespace = namespaceOf(broker);
  const { spec = {} } = broker;
  // As upstream: a Broker with a configuration of its own gets the delivery of whatever class has that kind's name, or the cluster's.
  const ofClass = spec.config?.kind ?? broker.metadata?.annotations?.[annotations.brokerClass] ?? "";
  const defaults = findBrokerDefaults(config.brokerDefaults, namespace, ofClass);
  const { config: reference = defaults?.config, delivery = defaults?.delivery } = spec;
  return {
    ...spec,
    ...(reference === undefined ? {} : { config: withReferenceDefaults(reference, namespace) }),
    ...(delivery === undefined ? {} : { delivery: withDeliveryDefaults(delivery, namespace) }),
  };
}

function validateSpec(broker: Broker, context: EventingAdmissionContext): readonly FieldError[] {
  const { config, delivery } = broker.spec ?? {};
  const namespace = namespaceOf(broker);
  const mayBeElsewhere = mayConfigElsewhere(context.config.brokerDefaults, namespace);
  const rules = { ...referenceRules(context), ...(mayBeElsewhere ? {} : { onlyNamespace: namespace }) };
  return [
    ...(config === undefined ? [] : viaField("config", validateReference(config, rules))),
    ...viaField("delivery", validateDelivery(delivery, context)),
  ];
}

/** Only delivery may change. */
function checkImmutable(broker: Broker, before: Broker): readonly FieldError[] {
  const rest = ({ spec }: Broker) => ({ ...spec, delivery: undefined });
  const ofSpec = immutableChanged(shortDiff(rest(before), rest(broker)), "fields", "spec");
  if (ofSpec.length > 0) return ofSpec;
  const classOf = ({ metadata }: Broker) => metadata?.annotations?.[annotations.brokerClass] ?? "";
  return immutableChanged(shortDiff(classOf(before), classOf(broker)), "annotations", "annotations");
}
