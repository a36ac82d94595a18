/**
 * POST serviceaccounts/NAME/token: makes a token for a service account, bound to a pod, secret or node if asked. As pkg/registry/core/serviceaccount/storage/token.go.
 */
import { randomUUID } from "node:crypto";
import type { BoundObjectReference, TokenRequest, TokenRequestSpec } from "#api/generated/types/authentication-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { type FieldError, invalid, invalidObject } from "#apimachinery/field-error.ts";
import { type KubeObject, parseApiVersion } from "#apimachinery/meta.ts";
import { badRequest, conflict, notFound } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { ClaimRef, FindBoundObject, KubernetesClaim } from "#apiserver/authentication/service-account-claims.ts";
import type { ServiceAccountTokens } from "#apiserver/authentication/service-account-tokens.ts";
import { serviceAccountUserName } from "#apiserver/authentication/well-known.ts";
import type { Clock } from "#component-base/clock.ts";
import type { VirtualCreate, VirtualResource } from "./virtual-resource.ts";

const group = "authentication.k8s.io";
const defaultSeconds = 3600;
const minSeconds = 600;
const maxSeconds = 2 ** 32;
/** What kubelets ask for the projected volumes of pods; such tokens live a year, so that old clients which never read the file again keep working. */
const projectedSeconds = 3607;
const extendedSeconds = 365 * 24 * 3600;

export type TokenRequestOptions = {
  readonly tokens: ServiceAccountTokens;
  readonly findObject: FindBoundObject;
  readonly clock: Clock;
};

/** Makes the handler of serviceaccounts/token. */
export function createTokenRequestHandler(options: TokenRequestOptions): VirtualResource {
  return async (create) => {
    const { name, namespace } = create.request;
    const request = create.object as TokenRequest;
    const account = await options.findObject("serviceaccounts", namespace, name);
    if (!account) throw notFound({ group: "", resource: "serviceaccounts", name });
    checkMetadata(request, create, account);
    const spec = withDefaults(request.spec, options.tokens.apiAudiences);
    const errors = validateSpec(spec);
    if (errors.length > 0) throw invalidObject({ group, kind: "TokenRequest", name: "" }, errors);
    const bound = spec.boundObjectRef ? await findBound(spec.boundObjectRef, create, options.findObject) : {};
    return issue(request, spec, { namespace, serviceaccount: refOf(account), ...bound }, options);
  };
}

type FullSpec = TokenRequestSpec & { readonly audiences: readonly string[]; readonly expirationSeconds: number };

function withDefaults(spec: TokenRequestSpec = {}, apiAudiences: readonly string[]): FullSpec {
  const audiences = spec.audiences?.length ? spec.audiences : apiAudiences;
  return { ...spec, audiences, expirationSeconds: spec.expirationSeconds ?? defaultSeconds };
}

function validateSpec({ expirationSeconds }: FullSpec): readonly FieldError[] {
  const field = "spec.expirationSeconds";
  if (expirationSeconds < minSeconds)
    return [invalid(field, expirationSeconds, "may not specify a duration less than 10 minutes")];
  if (expirationSeconds > maxSeconds)
    return [invalid(field, expirationSeconds, "may not specify a duration larger than 2^32 seconds")];
  return [];
}

function checkMetadata({ metadata = {} }: TokenRequest, { request }: VirtualCreate, account: KubeObject): void {
  const { name, namespace } = request;
  const wrong = (field: string, value: string) =>
    invalidObject({ group, kind: "TokenRequest", name }, [
      invalid(`metadata.${field}`, value, `must match the service account ${field} if specified`),
    ]);
  if (metadata.name && metadata.name !== name) throw wrong("name", metadata.name);
  if (metadata.namespace && metadata.namespace !== namespace) throw wrong("namespace", metadata.namespace);
  if (metadata.uid && metadata.uid !== account.metadata?.uid) {
    const why = `the UID in the token request (${metadata.uid}) does not match the UID of the service account (${account.metadata?.uid})`;
    throw conflict({ group, resource: "TokenRequest", name }, why);
  }
}

async function findBound(
  ref: BoundObjectReference,
  { request }: VirtualCreate,
  find: FindBoundObject,
): Promise<Pick<KubernetesClaim, "pod" | "secret" | "node">> {
  const { group: refGroup, version } = parseApiVersion(ref.apiVersion ?? "");
  const resource = { Pod: "pods", Secret: "secrets", Node: "nodes" }[refGroup === "" ? (ref.kind ?? "") : ""] as
    | "pods"
    | "secrets"
    | "nodes"
    | undefined;
  if (!resource) {
    throw badRequest(`cannot bind token to object of type ${refGroup}/${version}, Kind=${ref.kind ?? ""}`);
  }
  const name = ref.name ?? "";
  const object = await find(resource, resource === "nodes" ? "" : request.namespace, name);
  if (!object) throw notFound({ group: "", resource, name });
  if (resource === "pods") checkPodAccount(object as Pod, request.name);
  if (ref.uid && ref.uid !== object.metadata?.uid) {
    const why = `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
    throw conflict({ group: "", resource: ref.kind ?? "", name }, why);
  }
  if (resource === "nodes") return { node: refOf(object) };
  if (resource === "secrets") return { secret: refOf(object) };
  return { pod: refOf(object), ...(await nodeOf(object as Pod, find)) };
}

function checkPodAccount(pod: Pod, name: string): void {
  if (pod.spec?.serviceAccountName === name) return;
  throw badRequest(
    `cannot bind token for serviceaccount ${JSON.stringify(name)} to pod running with different serviceaccount name.`,
  );
}

async function nodeOf(pod: Pod, find: FindBoundObject): Promise<{ readonly node?: ClaimRef }> {
  const name = pod.spec?.nodeName;
  if (!name) return {};
  const node = await find("nodes", "", name);
  return { node: node ? refOf(node) : { name } };
}

function issue(
  request: TokenRequest,
  spec: FullSpec,
  claim: KubernetesClaim,
  { tokens, clock }: TokenRequestOptions,
): KubeObject {
  const now = Math.floor(clock.now() / 1000);
  const isForApi = spec.audiences.every((audience) => tokens.apiAudiences.includes(audience));
  const isExtended = claim.pod !== undefined && spec.expirationSeconds === projectedSeconds && isForApi;
  const token = tokens.sign({
    aud: spec.audiences,
    exp: now + (isExtended ? extendedSeconds : spec.expirationSeconds),
    iat: now,
    jti: randomUUID(),
    nbf: now,
    sub: serviceAccountUserName(claim.namespace, claim.serviceaccount.name),
    "kubernetes.io": isExtended ? { ...claim, warnafter: now + spec.expirationSeconds } : claim,
  });
  const { name, uid } = claim.serviceaccount;
  const answer: TokenRequest = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: {
      ...request.metadata,
      name,
      namespace: claim.namespace,
      ...(uid ? { uid } : {}),
      creationTimestamp: formatTime(now * 1000),
    },
    spec,
    status: { token, expirationTimestamp: formatTime((now + spec.expirationSeconds) * 1000) },
  };
  return answer;
}

function refOf(object: KubeObject): ClaimRef {
  return { name: object.metadata?.name ?? "", uid: object.metadata?.uid ?? "" };
}
