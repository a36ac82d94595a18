/**
 * The table of virtual resources: which handler answers a create of which resource.
 */
import type { FindBoundObject } from "#apiserver/authentication/service-account-claims.ts";
import type { ServiceAccountTokens } from "#apiserver/authentication/service-account-tokens.ts";
import type { TokenAuthenticator } from "#apiserver/authentication/token-authenticator.ts";
import type { RbacAuthorizer } from "#apiserver/authorization/rbac-authorizer.ts";
import type { Authorizer } from "#apiserver/request.ts";
import type { Clock } from "#component-base/clock.ts";
import {
  createLocalSubjectAccessReviewHandler,
  createSelfSubjectAccessReviewHandler,
  createSelfSubjectRulesReviewHandler,
  createSubjectAccessReviewHandler,
} from "./access-reviews.ts";
import { createSelfSubjectReviewHandler, createTokenReviewHandler } from "./authentication-reviews.ts";
import { createTokenRequestHandler } from "./token-request.ts";
import type { VirtualResource } from "./virtual-resource.ts";

export type VirtualResourceOptions = {
  readonly serviceAccountTokens: ServiceAccountTokens;
  /** All sorts of tokens, for TokenReview. */
  readonly tokens: TokenAuthenticator;
  readonly authorizer: Authorizer;
  readonly rbac: RbacAuthorizer;
  readonly findObject: FindBoundObject;
  readonly clock: Clock;
};

/** Handlers by "GROUP/RESOURCE" or "GROUP/RESOURCE/SUBRESOURCE"; the core group is "". All answer creates only. */
export function createVirtualResources(options: VirtualResourceOptions): ReadonlyMap<string, VirtualResource> {
  const { authorizer, clock, serviceAccountTokens: tokens, findObject } = options;
  return new Map([
    ["/serviceaccounts/token", createTokenRequestHandler({ tokens, findObject, clock })],
    ["authentication.k8s.io/tokenreviews", createTokenReviewHandler(options.tokens)],
    ["authentication.k8s.io/selfsubjectreviews", createSelfSubjectReviewHandler(clock)],
    ["authorization.k8s.io/subjectaccessreviews", createSubjectAccessReviewHandler(authorizer)],
    ["authorization.k8s.io/selfsubjectaccessreviews", createSelfSubjectAccessReviewHandler(authorizer)],
    ["authorization.k8s.io/localsubjectaccessreviews", createLocalSubjectAccessReviewHandler(authorizer)],
    ["authorization.k8s.io/selfsubjectrulesreviews", createSelfSubjectRulesReviewHandler(options.rbac)],
  ]);
}
