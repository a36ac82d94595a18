/**
 * Admission policies in CEL and their bindings. As pkg/apis/admissionregistration/{v1/defaults.go,validation}; expressions are compiled by the admission plugin, not here.
 */
import type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from "#api/generated/types/admissionregistration-v1.ts";
import { itemsOf, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateRequiredSubdomain, validateSupported } from "#api/validation.ts";
import { type FieldError, required } from "#apimachinery/field-error.ts";

export const validatingAdmissionPolicyStrategy: KindStrategy<ValidatingAdmissionPolicy> = {
  allowsUnconditionalUpdate: false,
  applyDefaults: applyPolicyDefaults,
  prepareForCreate(draft) {
    draft["status"] = {};
  },
  validate: validatePolicy,
  validateUpdate: validatePolicy,
};

export const mutatingAdmissionPolicyStrategy: KindStrategy<MutatingAdmissionPolicy> = {
  allowsUnconditionalUpdate: false,
  applyDefaults: applyPolicyDefaults,
  validate: ({ spec }) => (spec?.mutations?.length ? [] : [required("spec.mutations")]),
};

export const validatingAdmissionPolicyBindingStrategy: KindStrategy<ValidatingAdmissionPolicyBinding> = {
  allowsUnconditionalUpdate: false,
  applyDefaults: applyBindingDefaults,
  validate: ({ spec }) => [
    ...validateRequiredSubdomain("spec.policyName", spec?.policyName),
    ...(spec?.validationActions?.length ? [] : [required("spec.validationActions")]),
    ...(spec?.validationActions ?? []).flatMap((action, index) =>
      validateSupported(`spec.validationActions[${index}]`, action, ["Audit", "Deny", "Warn"]),
    ),
  ],
};

export const mutatingAdmissionPolicyBindingStrategy: KindStrategy<MutatingAdmissionPolicyBinding> = {
  allowsUnconditionalUpdate: false,
  applyDefaults: applyBindingDefaults,
  validate: ({ spec }) => validateRequiredSubdomain("spec.policyName", spec?.policyName),
};

function applyPolicyDefaults(draft: Draft): void {
  const spec = draft["spec"] as Draft | undefined;
  if (!spec) return;
  setDefault(spec, "failurePolicy", "Fail");
  applyMatchDefaults(spec["matchConstraints"] as Draft | undefined);
}

function applyBindingDefaults(draft: Draft): void {
  applyMatchDefaults(draft["spec"]?.matchResources as Draft | undefined);
}

function applyMatchDefaults(match: Draft | undefined): void {
  if (!match) return;
  setDefault(match, "matchPolicy", "Equivalent");
  setDefault(match, "namespaceSelector", {});
  setDefault(match, "objectSelector", {});
  for (const rule of [...itemsOf(match["resourceRules"]), ...itemsOf(match["excludeResourceRules"])]) {
    setDefault(rule, "scope", "*");
  }
}

function validatePolicy({ spec }: ValidatingAdmissionPolicy): readonly FieldError[] {
  const errors = [...validateSupported("spec.failurePolicy", spec?.failurePolicy, ["Fail", "Ignore"])];
  if (spec?.matchConstraints === undefined) errors.push(required("spec.matchConstraints"));
  else if (!spec.matchConstraints.resourceRules?.length) errors.push(required("spec.matchConstraints.resourceRules"));
  if (!spec?.validations?.length && !spec?.auditAnnotations?.length) {
    errors.push(required("spec.validations", "validations or auditAnnotations must contain at least one item"));
  }
  spec?.validations?.forEach(({ expression }, index) => {
    if (!expression?.trim())
      errors.push(required(`spec.validations[${index}].expression`, "expression is not specified"));
  });
  return errors;
}
