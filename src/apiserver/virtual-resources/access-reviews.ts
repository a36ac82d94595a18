/**
 * May he? SubjectAccessReview asks for anybody, SelfSubjectAccessReview for the asker, LocalSubjectAccessReview within a namespace; SelfSubjectRulesReview lists all that the asker may.
 * As pkg/registry/authorization.
 */
import type {
  LocalSubjectAccessReview,
  ResourceAttributes,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  SubjectAccessReviewSpec,
} from "#api/generated/types/authorization-v1.ts";
import type { PolicyRule } from "#api/generated/types/rbac-v1.ts";
import { type FieldError, invalid, invalidObject } from "#apimachinery/field-error.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import { nodeNameOf } from "#apiserver/authentication/well-known.ts";
import { aggregate, type RbacAuthorizer } from "#apiserver/authorization/rbac-authorizer.ts";
import type { Authorizer, RequestInfo, User } from "#apiserver/request.ts";
import type { VirtualResource } from "./virtual-resource.ts";

const group = "authorization.k8s.io";

/** Makes the handler of subjectaccessreviews. */
export function createSubjectAccessReviewHandler(authorizer: Authorizer): VirtualResource {
  return async ({ object }) => {
    const { spec, metadata } = object as SubjectAccessReview;
    const errors = [...validateAttributes(spec), ...validateSubject(spec), ...validateMetadata(metadata, [])];
    return answer(object, errors, authorizer, userOf(spec), spec);
  };
}

/** Makes the handler of selfsubjectaccessreviews. */
export function createSelfSubjectAccessReviewHandler(authorizer: Authorizer): VirtualResource {
  return async ({ object, user }) => {
    const { spec, metadata } = object as SelfSubjectAccessReview;
    return answer(object, [...validateAttributes(spec), ...validateMetadata(metadata, [])], authorizer, user, spec);
  };
}

/** Makes the handler of localsubjectaccessreviews. */
export function createLocalSubjectAccessReviewHandler(authorizer: Authorizer): VirtualResource {
  return async ({ object, request }) => {
    const { spec, metadata } = object as LocalSubjectAccessReview;
    const namespace = metadata?.namespace || request.namespace;
    const errors = [
      ...validateAttributes(spec),
      ...validateSubject(spec),
      ...validateMetadata(metadata, ["namespace"]),
    ];
    if (spec?.resourceAttributes && (spec.resourceAttributes.namespace ?? "") !== namespace) {
      errors.push(
        invalid(
          "spec.resourceAttributes.namespace",
          spec.resourceAttributes.namespace ?? "",
          "must match metadata.namespace",
        ),
      );
    }
    if (spec?.nonResourceAttributes) {
      errors.push(
        invalid("spec.nonResourceAttributes", spec.nonResourceAttributes, "disallowed on this kind of request"),
      );
    }
    return answer(object, errors, authorizer, userOf(spec), spec);
  };
}

/** Makes the handler of selfsubjectrulesreviews. */
export function createSelfSubjectRulesReviewHandler(rbac: RbacAuthorizer): VirtualResource {
  return async ({ object, user }) => {
    const namespace = (object as SelfSubjectRulesReview).spec?.namespace;
    if (!namespace) throw badRequest("no namespace on request");
    const { rules, errors } = rbac.rulesOf(user, namespace);
    const isNode = nodeNameOf(user) !== undefined;
    const all = isNode ? ["node authorizer does not support user rule resolution", ...errors] : errors;
    const status = {
      resourceRules: rules.filter(({ resources }) => resources?.length).map(resourceRule),
      nonResourceRules: rules
        .filter(({ nonResourceURLs }) => nonResourceURLs?.length)
        .map(({ verbs, nonResourceURLs = [] }) => ({ verbs, nonResourceURLs })),
      incomplete: isNode,
      ...(all.length === 0 ? {} : { evaluationError: aggregate(all) }),
    };
    return { ...object, status } as KubeObject;
  };
}

function resourceRule({ verbs, apiGroups, resources, resourceNames }: PolicyRule): PolicyRule {
  return {
    verbs,
    ...(apiGroups?.length ? { apiGroups } : {}),
    ...(resources?.length ? { resources } : {}),
    ...(resourceNames?.length ? { resourceNames } : {}),
  };
}

async function answer(
  object: KubeObject,
  errors: readonly FieldError[],
  authorizer: Authorizer,
  user: User,
  spec: SubjectAccessReviewSpec,
): Promise<KubeObject> {
  if (errors.length > 0) throw invalidObject({ group, kind: object.kind ?? "SubjectAccessReview", name: "" }, errors);
  const decision = await authorizer.authorize(user, requestOf(spec), selectorsOf(spec.resourceAttributes));
  const status = {
    allowed: decision.allowed,
    ...(decision.denied ? { denied: true } : {}),
    ...(decision.reason ? { reason: decision.reason } : {}),
    ...(decision.evaluationError ? { evaluationError: decision.evaluationError } : {}),
  };
  return { ...object, status } as KubeObject;
}

function requestOf({ resourceAttributes, nonResourceAttributes }: SubjectAccessReviewSpec): RequestInfo {
  const attributes = resourceAttributes ?? {};
  return {
    isResourceRequest: resourceAttributes !== undefined,
    path: nonResourceAttributes?.path ?? "",
    verb: (resourceAttributes ?? nonResourceAttributes)?.verb ?? "",
    apiGroup: attributes.group ?? "",
    apiVersion: attributes.version ?? "*",
    namespace: attributes.namespace ?? "",
    resource: attributes.resource ?? "",
    subresource: attributes.subresource ?? "",
    name: attributes.name ?? "",
  };
}

function selectorsOf(attributes: ResourceAttributes | undefined): {
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
} {
  const field = attributes?.fieldSelector?.rawSelector ?? formatFields(attributes);
  const label = attributes?.labelSelector?.rawSelector;
  return { ...(field ? { fieldSelector: field } : {}), ...(label ? { labelSelector: label } : {}) };
}

/** Only requirements that a field selector can say: "In" with one value. Others are left out, which never allows more. */
function formatFields(attributes: ResourceAttributes | undefined): string {
  return (attributes?.fieldSelector?.requirements ?? [])
    .filter(({ operator, values }) => operator === "In" && values?.length === 1)
    .map(({ key, values }) => `${key}=${values?.[0]}`)
    .join(",");
}

function userOf(spec: SubjectAccessReviewSpec | undefined): User {
  return {
    name: spec?.user ?? "",
    groups: spec?.groups ?? [],
    ...(spec?.uid ? { uid: spec.uid } : {}),
    ...(spec?.extra ? { extra: spec.extra } : {}),
  };
}

function validateAttributes(
  spec: Pick<SubjectAccessReviewSpec, "resourceAttributes" | "nonResourceAttributes"> = {},
): FieldError[] {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (resourceAttributes && nonResourceAttributes) {
    return [
      invalid(
        "spec.nonResourceAttributes",
        nonResourceAttributes,
        "cannot be specified in combination with resourceAttributes",
      ),
    ];
  }
  if (resourceAttributes || nonResourceAttributes) return [];
  const detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
  return [invalid("spec.resourceAttributes", null, detail)];
}

function validateSubject(spec: SubjectAccessReviewSpec | undefined): readonly FieldError[] {
  if (spec?.user || spec?.groups?.length) return [];
  return [invalid("spec.user", "", "at least one of user or group must be specified")];
}

function validateMetadata(metadata: KubeObject["metadata"], allowed: readonly string[]): readonly FieldError[] {
  const given = Object.entries(metadata ?? {}).filter(
    ([key, value]) => key !== "managedFields" && !allowed.includes(key) && value !== null && value !== "",
  );
  if (given.length === 0) return [];
  const detail = allowed.includes("namespace") ? "must be empty except for namespace" : "must be empty";
  return [invalid("metadata", metadata, detail)];
}
