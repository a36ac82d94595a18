/**
 * Defaulting and validation of EventTypes and EventPolicies. Behaviour and messages as upstream's `pkg/apis/eventing/v1beta3/eventtype_*.go` and `v1alpha1/eventpolicy_*.go` (v1.22).
 */
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { validateFilters } from "#eventing/filters/validate-filter.ts";
import type { EventPolicy, EventType } from "#eventing/kinds.ts";
import {
  currentField,
  type FieldError,
  generic,
  invalidValue,
  missingField,
  missingOneOf,
  multipleOneOf,
  viaField,
  viaFieldIndex,
} from "#knative/admission/field-error.ts";
import { withReferenceDefaults } from "#knative/destination.ts";
import { type EventingAdmission, namespaceOf } from "./context.ts";

const requiredAttributes = ["type", "source", "specversion", "id"];

export const eventTypeAdmission: EventingAdmission<EventType> = {
  withDefaults(eventType) {
    const { reference } = eventType.spec ?? {};
    if (reference === undefined) return eventType;
    return {
      ...eventType,
      spec: { ...eventType.spec, reference: withReferenceDefaults(reference, namespaceOf(eventType)) },
    };
  },

  validate({ spec }) {
    const names = (spec?.attributes ?? []).map(({ name }) => name);
    const missing = requiredAttributes.filter((name) => !names.includes(name));
    return missing.length === 0 ? [] : viaField("spec.attributes", [missingField(...missing)]);
  },
};

type Spec = NonNullable<EventPolicy["spec"]>;

/** What is done to EventPolicies. */
export const eventPolicyAdmission: EventingAdmission<EventPolicy> = {
  withDefaults(policy) {
    const { from } = policy.spec ?? {};
    if (from === undefined) return policy;
    const namespace = namespaceOf(policy);
    const defaulted = from.map((one) =>
      one.ref === undefined ? one : { ...one, ref: withReferenceDefaults(one.ref, namespace) },
    );
    return { ...policy, spec: { ...policy.spec, from: defaulted } };
  },

  validate({ spec = {} }, before, { config }) {
    const isChange = before === undefined || !semanticEqual(before.spec, spec);
    // Without identities a policy could not be held to.
    if (isChange && !config.features.authenticationOidc)
      return [generic("oidc-authentication feature not enabled", currentField)];
    return viaField("spec", [
      ...validateFrom(spec),
      ...validateTo(spec),
      ...validateFilters(spec.filters === undefined ? {} : { filters: spec.filters }),
    ]);
  },
};

function validateFrom({ from = [] }: Spec): readonly FieldError[] {
  return from.flatMap(({ ref, sub }, index) =>
    viaFieldIndex("from", index, [
      ...(ref === undefined && !sub ? [missingOneOf("ref", "sub")] : []),
      ...(ref !== undefined && sub !== undefined ? [multipleOneOf("ref", "sub")] : []),
      ...(ref === undefined ? [] : viaField("ref", checkReference(ref))),
      ...viaField("sub", checkSubject(sub)),
    ]),
  );
}

function validateTo({ to = [] }: Spec): readonly FieldError[] {
  return to.flatMap(({ ref, selector }, index) =>
    viaFieldIndex("to", index, [
      ...(ref === undefined && selector === undefined ? [missingOneOf("ref", "selector")] : []),
      ...(ref !== undefined && selector !== undefined ? [multipleOneOf("ref", "selector")] : []),
      ...(ref === undefined ? [] : viaField("ref", checkReference(ref))),
    ]),
  );
}

function checkReference(ref: {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly name?: string;
}): readonly FieldError[] {
  return (["kind", "apiVersion", "name"] as const).filter((field) => !ref[field]).map((field) => missingField(field));
}

function checkSubject(sub: string | undefined): readonly FieldError[] {
  const star = sub?.indexOf("*") ?? -1;
  if (sub === undefined || sub.length <= 1 || star < 0 || star === sub.length - 1) return [];
  return [invalidValue(sub, currentField, "'*' is only allowed as suffix")];
}
