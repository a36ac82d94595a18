/**
 * A write as webhooks and expressions are told of it.
 */
import type { Namespace } from "#api/generated/types/core-v1.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { findLive } from "./admission-tools.ts";

/** Reviews are never stored; policies and webhooks must stay repairable. */
const exempt: ReadonlySet<string> = new Set([
  "admissionregistration.k8s.io",
  "authentication.k8s.io",
  "authorization.k8s.io",
]);

/** True for writes that no policy and no webhook may see. */
export function isExempt({ request }: AdmissionAttributes): boolean {
  return exempt.has(request.apiGroup);
}

/** The fields of an AdmissionRequest, without its objects and uid. */
export function requestOf(attributes: AdmissionAttributes): object {
  const { request, operation, user, dryRun, kind, object, options, requested = attributes } = attributes;
  return {
    kind,
    resource: resourceOf(request),
    subResource: request.subresource,
    requestKind: requested.kind,
    requestResource: resourceOf(requested.request),
    requestSubResource: request.subresource,
    name: request.name || object?.metadata?.name || "",
    namespace: request.namespace,
    operation,
    userInfo: { username: user.name, uid: user.uid ?? "", groups: user.groups, extra: user.extra ?? {} },
    dryRun,
    options: options ?? null,
  };
}

function resourceOf({ apiGroup, apiVersion, resource }: AdmissionAttributes["request"]): object {
  return { group: apiGroup, version: apiVersion, resource };
}

/** The namespace that a write goes to; undefined for what is in none, and for namespaces themselves. */
export async function findNamespace(
  client: Client,
  namespaces: Informer<Namespace>,
  { request }: AdmissionAttributes,
): Promise<Namespace | undefined> {
  if (request.namespace === "" || (request.apiGroup === "" && request.resource === "namespaces")) return undefined;
  const known = namespaces.lister.find("", request.namespace);
  const resource = { group: "", version: "v1", resource: "namespaces" };
  return known ?? (await findLive<Namespace>(client, { resource, name: request.namespace }));
}
