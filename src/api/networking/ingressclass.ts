/**
 * IngressClasses: which controller serves an Ingress. As pkg/apis/networking/{v1/defaults.go,validation}.
 */
import type { IngressClass } from "#api/generated/types/networking-v1.ts";
import { setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { validateImmutable, validateSupported } from "#api/validation.ts";
import { type FieldError, forbiddenField, invalid, required, tooLong } from "#apimachinery/field-error.ts";

const longestController = 250;

export const ingressClassStrategy: KindStrategy<IngressClass> = {
  applyDefaults(draft) {
    const parameters = draft["spec"]?.parameters as Draft | undefined;
    if (parameters) setDefault(parameters, "scope", "Cluster");
  },
  validate,
  validateUpdate: (ingressClass, old) => [
    ...validate(ingressClass),
    ...validateImmutable("spec.controller", ingressClass.spec?.controller, old.spec?.controller),
  ],
};

function validate({ spec }: IngressClass): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { controller = "", parameters } = spec ?? {};
  if (controller.length > longestController) errors.push(tooLong("spec.controller", longestController));
  if (controller !== "" && !/^[^/]+\/.+$/.test(controller)) {
    errors.push(invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")'));
  }
  if (parameters === undefined) return errors;
  if (!parameters.kind) errors.push(required("spec.parameters.kind", "kind is required"));
  if (!parameters.name) errors.push(required("spec.parameters.name", "name is required"));
  errors.push(...validateSupported("spec.parameters.scope", parameters.scope, ["Cluster", "Namespace"]));
  if (parameters.scope === "Namespace" && !parameters.namespace) {
    errors.push(required("spec.parameters.namespace", "`parameters.scope` is set to 'Namespace'"));
  }
  if (parameters.scope === "Cluster" && parameters.namespace) {
    errors.push(forbiddenField("spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'"));
  }
  return errors;
}
