/**
 * ValidatingAdmissionPolicies: expressions in CEL that refuse writes. As apiserver's plugin/policy/validating. Missing: `authorizer`, audit annotations, and writes in other versions
 * than a rule names.
 */
import type {
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from "#api/generated/types/admissionregistration-v1.ts";
import type { Namespace } from "#api/generated/types/core-v1.ts";
import { StatusError, type StatusReason } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { findNamespace, isExempt } from "./admission-request.ts";
import { refuse } from "./admission-tools.ts";
import { matchesWrite } from "./match-resources.ts";
import { findParams, PolicyPrograms } from "./policy-parts.ts";
import type { Decision } from "./policy-program.ts";

const codes: Readonly<Record<string, number>> = { Forbidden: 403, Unauthorized: 401, RequestEntityTooLarge: 413 };

export type ValidatingAdmissionPolicyOptions = {
  readonly client: Client;
  readonly policies: Informer<ValidatingAdmissionPolicy>;
  readonly bindings: Informer<ValidatingAdmissionPolicyBinding>;
  readonly namespaces: Informer<Namespace>;
};

export class ValidatingAdmissionPolicyPlugin implements AdmissionPlugin {
  readonly name = "ValidatingAdmissionPolicy";
  readonly #options: ValidatingAdmissionPolicyOptions;
  readonly #programs = new PolicyPrograms();

  constructor(options: ValidatingAdmissionPolicyOptions) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return !isExempt(attributes) && this.#options.bindings.lister.list().length > 0;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const { policies, bindings } = this.#options;
    const namespace = await findNamespace(this.#options.client, this.#options.namespaces, attributes);
    const labels = namespace?.metadata?.labels;
    let denial: StatusError | undefined;
    for (const binding of bindings.lister.list()) {
      const policy = policies.lister.find("", binding.spec.policyName);
      if (policy?.spec === undefined || !matchesWrite(policy.spec.matchConstraints, attributes, labels)) continue;
      if (!matchesWrite(binding.spec.matchResources, attributes, labels)) continue;
      const decisions = await this.#decide(policy, binding, attributes, namespace);
      denial ??= act(policy, binding, decisions, attributes);
    }
    if (denial !== undefined) throw denial;
  }

  async #decide(
    policy: ValidatingAdmissionPolicy,
    binding: ValidatingAdmissionPolicyBinding,
    attributes: AdmissionAttributes,
    namespace: Namespace | undefined,
  ): Promise<readonly Decision[]> {
    const program = await this.#programs.find(policy);
    if (program instanceof Error) return [failure(program.message)];
    const params = await findParams(this.#options.client, policy.spec?.paramKind, binding.spec.paramRef, attributes);
    if (params instanceof Error) return [failure(`failed to configure binding: ${params.message}`)];
    return params.flatMap((param) => program.decide(attributes, namespace, param));
  }
}

/** Does what the binding wants with what speaks against a write; gives the refusal, if it is to be one. */
function act(
  policy: ValidatingAdmissionPolicy,
  binding: ValidatingAdmissionPolicyBinding,
  decisions: readonly Decision[],
  attributes: AdmissionAttributes,
): StatusError | undefined {
  const isLenient = policy.spec?.failurePolicy === "Ignore";
  const against = decisions.filter(({ kind }) => kind === "deny" || !isLenient);
  const [first] = against;
  if (first === undefined) return undefined;
  const [policyName, bindingName] = [policy.metadata?.name ?? "", binding.metadata?.name ?? ""];
  const actions = binding.spec.validationActions;
  if (actions.includes("Warn")) {
    for (const { message } of against) {
      const why = `Validation failed for ValidatingAdmissionPolicy '${policyName}' with binding '${bindingName}': ${message}`;
      attributes.warn?.(why);
    }
  }
  if (!actions.includes("Deny")) return undefined;
  const why = `ValidatingAdmissionPolicy '${policyName}' with binding '${bindingName}' denied request: ${first.message}`;
  return denialOf(attributes, why, first.reason ?? "Invalid");
}

function denialOf(attributes: AdmissionAttributes, why: string, reason: string): StatusError {
  const { message, details } = refuse(attributes, why);
  return new StatusError({
    reason: reason as StatusReason,
    code: codes[reason] ?? 422,
    message,
    details: { ...details, causes: [{ message: why }] },
  });
}

function failure(message: string): Decision {
  return { kind: "error", message, reason: undefined };
}
