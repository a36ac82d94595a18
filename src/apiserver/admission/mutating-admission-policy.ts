/**
 * MutatingAdmissionPolicies: expressions in CEL that change what is written, by JSON patches or as server-side apply merges. As apiserver's plugin/policy/mutating. Missing: reinvocation.
 */
import type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
} from "#api/generated/types/admissionregistration-v1.ts";
import type { Namespace } from "#api/generated/types/core-v1.ts";
import { isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import type { Json, KubeObject } from "#apimachinery/meta.ts";
import { applyJsonPatch } from "#apimachinery/patch/json-patch.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { findNamespace, isExempt } from "./admission-request.ts";
import { refuse } from "./admission-tools.ts";
import { matchesWrite } from "./match-resources.ts";
import { findParams, PolicyPrograms } from "./policy-parts.ts";

export type MutatingAdmissionPolicyOptions = {
  readonly client: Client;
  readonly policies: Informer<MutatingAdmissionPolicy>;
  readonly bindings: Informer<MutatingAdmissionPolicyBinding>;
  readonly namespaces: Informer<Namespace>;
};

export class MutatingAdmissionPolicyPlugin implements AdmissionPlugin {
  readonly name = "MutatingAdmissionPolicy";
  readonly #options: MutatingAdmissionPolicyOptions;
  readonly #programs = new PolicyPrograms();

  constructor(options: MutatingAdmissionPolicyOptions) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return attributes.object !== undefined && !isExempt(attributes) && this.#options.bindings.lister.list().length > 0;
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const { client, namespaces, policies, bindings } = this.#options;
    const namespace = await findNamespace(client, namespaces, attributes);
    const labels = namespace?.metadata?.labels;
    let { object } = attributes;
    for (const binding of bindings.lister.list()) {
      const policy = policies.lister.find("", binding.spec?.policyName ?? "");
      const now = { ...attributes, object };
      if (policy?.spec === undefined || !matchesWrite(policy.spec.matchConstraints, now, labels)) continue;
      if (!matchesWrite(binding.spec?.matchResources, now, labels)) continue;
      // oxlint-disable-next-line no-await-in-loop -- each policy sees what the one before made of the object
      const changed = await this.#apply(policy, binding, now, namespace);
      if (!(changed instanceof Error)) object = changed;
      else if (policy.spec.failurePolicy !== "Ignore") {
        const names = `'${policy.metadata?.name}' with binding '${binding.metadata?.name}'`;
        throw refuse(now, `MutatingAdmissionPolicy ${names} denied request: ${changed.message}`);
      }
    }
    return object;
  }

  async #apply(
    policy: MutatingAdmissionPolicy,
    binding: MutatingAdmissionPolicyBinding,
    attributes: AdmissionAttributes,
    namespace: Namespace | undefined,
  ): Promise<KubeObject | undefined | Error> {
    const program = await this.#programs.find(policy);
    if (program instanceof Error) return program;
    const params = await findParams(this.#options.client, policy.spec?.paramKind, binding.spec?.paramRef, attributes);
    if (params instanceof Error) return new Error(`failed to configure binding: ${params.message}`);
    let { object } = attributes;
    for (const param of params) {
      const changed = program.mutate({ ...attributes, object }, namespace, param, (before, type, value) =>
        change(attributes, before, type, value),
      );
      if (changed instanceof Error) return changed;
      object = changed;
    }
    return object;
  }
}

/** The object after what an expression gave: operations of a JSON patch, or the fields that it wants to have. */
function change(attributes: AdmissionAttributes, object: KubeObject, type: string, value: Json): KubeObject {
  const conform = attributes.conform ?? ((given: KubeObject) => given);
  if (type === "JSONPatch") return conform(applyJsonPatch(object as JsonObject, value) as KubeObject);
  if (!isJsonObject(value) || attributes.merge === undefined) return object;
  return conform(attributes.merge(object, value as KubeObject));
}
