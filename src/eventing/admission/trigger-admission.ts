/**
 * Defaulting and validation of Triggers. Behaviour and messages as upstream's `pkg/apis/eventing/v1/trigger_*.go` (v1.22).
 */
import { validateFilters } from "#eventing/filters/validate-filter.ts";
import type { Trigger, TriggerSpec } from "#eventing/kinds.ts";
import { annotations, labels } from "#eventing/names.ts";
import {
  currentField,
  disallowedFields,
  type FieldError,
  generic,
  immutableChanged,
  missingField,
  multipleOneOf,
  viaField,
} from "#knative/admission/field-error.ts";
import { shortDiff } from "#knative/admission/short-diff.ts";
import { validateDestination, withDestinationDefaults } from "#knative/destination.ts";
import { type EventingAdmission, type EventingAdmissionContext, namespaceOf, referenceRules } from "./context.ts";
import { validateDelivery, withDeliveryDefaults } from "./delivery-admission.ts";

/** What is done to Triggers. */
export const triggerAdmission: EventingAdmission<Trigger> = {
  withDefaults(trigger, _before, context) {
    const namespace = namespaceOf(trigger);
    const { spec = {} } = trigger;
    const { filter = {}, subscriber = {}, delivery } = spec;
    const broker = brokerName(spec, context);
    const own = broker === "" ? undefined : { ...trigger.metadata?.labels, [labels.broker]: broker };
    return {
      ...trigger,
      ...(own === undefined ? {} : { metadata: { ...trigger.metadata, labels: own } }),
      spec: {
        ...spec,
        filter,
        subscriber: withDestinationDefaults(subscriber, namespace),
        ...(delivery === undefined ? {} : { delivery: withDeliveryDefaults(delivery, namespace) }),
      },
    };
  },

  validate(trigger, before, context) {
    return [
      ...viaField("spec", validateSpec(trigger.spec ?? {}, context)),
      ...checkAnnotation(trigger, annotations.dependency, checkDependency),
      ...checkAnnotation(trigger, annotations.injection, checkInjection),
      ...(before === undefined ? [] : checkBrokerUnchanged(trigger, before)),
    ];
  },
};

function brokerName({ broker = "", brokerRef }: TriggerSpec, { config }: EventingAdmissionContext): string {
  return config.features.crossNamespaceEventLinks && brokerRef !== undefined ? (brokerRef.name ?? "") : broker;
}

function validateSpec(spec: TriggerSpec, context: EventingAdmissionContext): readonly FieldError[] {
  return [
    ...validateBroker(spec, context),
    ...validateFilters(spec),
    ...viaField("subscriber", validateDestination(spec.subscriber ?? {}, referenceRules(context))),
    ...viaField("delivery", validateDelivery(spec.delivery, context)),
  ];
}

function validateBroker(
  { broker = "", brokerRef }: TriggerSpec,
  { config }: EventingAdmissionContext,
): readonly FieldError[] {
  if (brokerRef === undefined) return broker === "" ? [missingField("broker")] : [];
  const details =
    "only name, apiVersion and kind are supported fields when feature.CrossNamespaceEventLinks is disabled";
  const mayLink = config.features.crossNamespaceEventLinks;
  return [
    ...(broker === "" ? [] : [multipleOneOf("broker", "brokerRef")]),
    ...(brokerRef.namespace && !mayLink ? [{ ...disallowedFields("namespace"), details }] : []),
  ];
}

function checkBrokerUnchanged(trigger: Trigger, before: Trigger): readonly FieldError[] {
  const [old, now] = [before.spec?.broker ?? "", trigger.spec?.broker ?? ""];
  return immutableChanged(shortDiff(old, now), "fields", "spec", "broker");
}

function checkAnnotation(
  trigger: Trigger,
  annotation: string,
  check: (value: string, trigger: Trigger) => readonly FieldError[],
): readonly FieldError[] {
  const value = trigger.metadata?.annotations?.[annotation];
  return value === undefined ? [] : viaField(`metadata.annotations[${annotation}]`, check(value, trigger));
}

type Dependency = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
};

/** The object that the annotation names, or what is wrong with it. */
export function readDependency(text: string): Dependency | { readonly problem: string } {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
    return { problem: "json: cannot unmarshal into Go value of type v1.ObjectReference" };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function checkDependency(text: string, trigger: Trigger): readonly FieldError[] {
  const reference = readDependency(text);
  if ("problem" in reference) {
    const message = `The provided annotation was not a corev1.ObjectReference: ${JSON.stringify(text)}`;
    return [{ message, paths: [currentField], details: reference.problem }];
  }
  const namespace = namespaceOf(trigger);
  const isElsewhere = reference.namespace && reference.namespace !== namespace;
  return [
    ...(isElsewhere
      ? [generic(`Namespace must be empty or equal to the trigger namespace ${JSON.stringify(namespace)}`, "namespace")]
      : []),
    ...(["kind", "name", "apiVersion"] as const)
      .filter((field) => !reference[field])
      .map((field) => missingField(field)),
  ];
}

function checkInjection(value: string, { spec }: Trigger): readonly FieldError[] {
  if (value !== "enabled" && value !== "disabled")
    return [
      generic(
        `The provided injection annotation value can only be "enabled" or "disabled", not ${JSON.stringify(value)}`,
        currentField,
      ),
    ];
  const { broker = "" } = spec ?? {};
  if (broker === "default") return [];
  return [
    generic(
      `The provided injection annotation is only used for default broker, but non-default broker specified here: ${JSON.stringify(broker)}`,
      currentField,
    ),
  ];
}
