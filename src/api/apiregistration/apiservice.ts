/**
 * APIServices: groups and versions that other servers serve. As kube-aggregator's pkg/apis/apiregistration.
 */
import type { APIService } from "#api/generated/types/apiregistration-v1.ts";
import { setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { type FieldError, forbiddenField, invalid, required } from "#apimachinery/field-error.ts";

export const apiServiceStrategy: KindStrategy<APIService> = {
  nameRule: "path-segment",
  hasNoGeneration: true,
  applyDefaults(draft) {
    const service = draft["spec"]?.service as Draft | undefined;
    if (service) setDefault(service, "port", 443);
  },
  prepareForCreate(draft) {
    // Groups that this server serves itself are there at once.
    const local = {
      type: "Available",
      status: "True",
      reason: "Local",
      message: "Local APIServices are always available",
    };
    draft["status"] = draft["spec"]?.service ? {} : { conditions: [local] };
  },
  validate,
  validateUpdate: validate,
};

function validate({ metadata, spec }: APIService): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { group = "", version = "", service, insecureSkipTLSVerify, caBundle } = spec ?? {};
  const { groupPriorityMinimum = 0, versionPriority = 0 } = spec ?? {};
  const name = metadata?.name ?? "";
  const expected = group === "" ? `${version}.` : `${version}.${group}`;
  if (name !== expected)
    errors.push(invalid("metadata.name", name, `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(expected)}`));
  if (version === "") errors.push(required("spec.version"));
  for (const [field, value, highest] of [
    ["groupPriorityMinimum", groupPriorityMinimum, 20_000],
    ["versionPriority", versionPriority, 1000],
  ] as const) {
    if (value <= 0 || value > highest)
      errors.push(invalid(`spec.${field}`, value, `must be positive and less than ${highest}`));
  }
  if (service === undefined) {
    if (caBundle)
      errors.push(invalid("spec.caBundle", `${caBundle.length} bytes`, "local APIServices may not have a caBundle"));
    if (insecureSkipTLSVerify === true) {
      errors.push(invalid("spec.insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify"));
    }
    return errors;
  }
  if (!service.namespace) errors.push(required("spec.service.namespace"));
  if (!service.name) errors.push(required("spec.service.name"));
  if (insecureSkipTLSVerify === true && caBundle) {
    errors.push(forbiddenField("spec.insecureSkipTLSVerify", "may not be true if caBundle is present"));
  }
  return errors;
}
