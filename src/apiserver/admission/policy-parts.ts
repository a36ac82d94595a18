/**
 * What both kinds of admission policies have: their compiled programs, and the parameters of their bindings.
 */
import type { ParamKind, ParamRef } from "#api/generated/types/admissionregistration-v1.ts";
import { formatLabelSelector } from "#apimachinery/label-selector.ts";
import { type KubeObject, parseApiVersion } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { findLive } from "./admission-tools.ts";
import type { PolicyProgram, PolicySpec } from "./policy-program.ts";

/** Programs of policies, compiled once for each state of a policy. The engine loads with the first. */
export class PolicyPrograms {
  readonly #programs = new WeakMap<object, PolicyProgram | Error>();

  /** The program, or what is wrong with an expression. */
  async find(policy: { readonly spec?: PolicySpec }): Promise<PolicyProgram | Error> {
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
}

type Discovered = { readonly name: string; readonly kind: string; readonly namespaced: boolean };
type Resource = { readonly resource: ResourceRef["resource"]; readonly isNamespaced: boolean };

/** The parameters that a binding names: one run for each. `null` where there are none to give. */
export async function findParams(
  client: Client,
  kind: ParamKind | undefined,
  ref: ParamRef | undefined,
  { request }: AdmissionAttributes,
): Promise<readonly (KubeObject | null)[] | Error> {
  if (kind === undefined || ref === undefined) return [null];
  const found = await findResource(client, kind);
  if (found === undefined) return new Error(`paramKind kind \`${kind.apiVersion}, Kind=${kind.kind}\` not known`);
  const namespace = found.isNamespaced ? ref.namespace || request.namespace : "";
  if (found.isNamespaced && namespace === "") {
    return new Error("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
  }
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

async function findResource(client: Client, { apiVersion = "", kind }: ParamKind): Promise<Resource | undefined> {
  const path = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const { group, version } = parseApiVersion(apiVersion);
  try {
    const { body } = await client.transport.request({ method: "GET", path });
    const { resources } = body as unknown as { readonly resources: readonly Discovered[] };
    const found = resources.find((each) => each.kind === kind && !each.name.includes("/"));
    return found && { resource: { group, version, resource: found.name }, isNamespaced: found.namespaced };
  } catch (error) {
    if (error instanceof StatusError) return undefined;
    throw error;
  }
}
