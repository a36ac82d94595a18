/**
 * ValidatingAdmissionPolicies: expressions in CEL that refuse writes. As apiserver's plugin/policy/validating. Missing: `authorizer`, audit annotations, and writes in other versions
 * than a rule names.
 */
import type {
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from "#api/generated/types/admissionregistration-v1.ts";
import type { Namespace } from "#api/generated/types/core-v1.ts";
import { fromJson } from "#apimachinery/cel/json-values.ts";
import type { CelValue } from "#apimachinery/cel/values.ts";
import { formatLabelSelector } from "#apimachinery/label-selector.ts";
import { type Json, type KubeObject, parseApiVersion } from "#apimachinery/meta.ts";
import { StatusError, type StatusReason } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { findNamespace, isExempt, requestOf } from "./admission-request.ts";
import { findLive, refuse } from "./admission-tools.ts";
import { matchesWrite } from "./match-resources.ts";
import type { Decision, PolicyProgram } from "./policy-program.ts";

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
  readonly #programs = new WeakMap<ValidatingAdmissionPolicy, PolicyProgram | Error>();

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
    const program = await this.#programOf(policy);
    if (program instanceof Error) return [failure(program.message)];
    const params = await this.#paramsOf(policy.spec?.paramKind, binding.spec.paramRef, attributes);
    if (params instanceof Error) return [failure(`failed to configure binding: ${params.message}`)];
    return params.flatMap((param) => program.decide(namesOf(attributes, namespace, param)));
  }

  /** Compiled once for each state of a policy. The engine loads with the first. */
  async #programOf(policy: ValidatingAdmissionPolicy): Promise<PolicyProgram | Error> {
    let program = this.#programs.get(policy);
    if (program === undefined) {
      const { PolicyProgram: Program } = await import("./policy-program.ts");
      try {
        program = new Program(policy.spec ?? {});
      } catch (error) {
        program = error instanceof Error ? error : new Error(String(error));
      }
      this.#programs.set(policy, program);
    }
    return program;
  }

  /** The parameters that a binding names: one run for each. `null` where there are none to give. */
  async #paramsOf(
    kind: ParamKind | undefined,
    ref: ParamRef | undefined,
    { request }: AdmissionAttributes,
  ): Promise<readonly (KubeObject | null)[] | Error> {
    if (kind === undefined || ref === undefined) return [null];
    const found = await this.#resourceOf(kind);
    if (found === undefined) return new Error(`paramKind kind \`${kind.apiVersion}, Kind=${kind.kind}\` not known`);
    const namespace = found.isNamespaced ? ref.namespace || request.namespace : "";
    if (found.isNamespaced && namespace === "") {
      return new Error("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
    }
    const { client } = this.#options;
    const at: ResourceRef = { resource: found.resource, ...(namespace === "" ? {} : { namespace }) };
    const params = ref.name
      ? [await findLive(client, { ...at, name: ref.name })].filter((each) => each !== undefined)
      : (await client.list(at, { labelSelector: formatLabelSelector(ref.selector) })).items;
    if (params.length > 0)
      return params.map((each) => ({ ...each, apiVersion: kind.apiVersion, kind: kind.kind }) as KubeObject);
    return ref.parameterNotFoundAction === "Allow"
      ? []
      : new Error("no params found for policy binding with `Deny` parameterNotFoundAction");
  }

  async #resourceOf({ apiVersion = "", kind }: ParamKind): Promise<Resource | undefined> {
    const path = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const { group, version } = parseApiVersion(apiVersion);
    try {
      const { body } = await this.#options.client.transport.request({ method: "GET", path });
      const { resources } = body as unknown as { readonly resources: readonly Discovered[] };
      const found = resources.find((each) => each.kind === kind && !each.name.includes("/"));
      return found && { resource: { group, version, resource: found.name }, isNamespaced: found.namespaced };
    } catch (error) {
      if (error instanceof StatusError) return undefined;
      throw error;
    }
  }
}

type Discovered = { readonly name: string; readonly kind: string; readonly namespaced: boolean };
type Resource = { readonly resource: ResourceRef["resource"]; readonly isNamespaced: boolean };

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

/** What expressions see. */
function namesOf(
  attributes: AdmissionAttributes,
  namespace: Namespace | undefined,
  params: KubeObject | null,
): ReadonlyMap<string, CelValue> {
  const value = (object: unknown): CelValue => fromJson((object ?? null) as Json);
  return new Map([
    ["object", value(attributes.object)],
    ["oldObject", value(attributes.oldObject)],
    ["request", value(requestOf(attributes))],
    ["namespaceObject", value(namespace)],
    ["params", value(params)],
  ]);
}
