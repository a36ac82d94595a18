/**
 * Who is it? TokenReview asks for a token, SelfSubjectReview for the asker. As pkg/registry/authentication.
 */
import type { TokenReview } from "#api/generated/types/authentication-v1.ts";
import { badRequest } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { TokenAuthenticator } from "#apiserver/authentication/token-authenticator.ts";
import { groupAuthenticated } from "#apiserver/authentication/well-known.ts";
import type { Clock } from "#component-base/clock.ts";
import { userInfoOf, type VirtualResource } from "./virtual-resource.ts";

/** Makes the handler of tokenreviews. */
export function createTokenReviewHandler(tokens: TokenAuthenticator): VirtualResource {
  return async ({ object }) => {
    const review = object as TokenReview;
    if (!review.spec?.token) throw badRequest("token is required for TokenReview in authentication");
    return { ...review, status: await statusOf(review, tokens) } as TokenReview;
  };
}

/** Makes the handler of selfsubjectreviews. */
export function createSelfSubjectReviewHandler(clock: Clock): VirtualResource {
  return async ({ user, object }) => ({
    ...object,
    metadata: { ...object.metadata, creationTimestamp: formatTime(clock.now()) },
    status: { userInfo: userInfoOf(user) },
  });
}

async function statusOf(
  { spec }: TokenReview,
  tokens: TokenAuthenticator,
): Promise<NonNullable<TokenReview["status"]>> {
  const audiences = spec.audiences?.length ? spec.audiences : undefined;
  try {
    const identity = await tokens.authenticateToken(spec.token, audiences);
    if (!identity) return { authenticated: false, user: {}, error: "invalid bearer token" };
    const user = { ...identity.user, groups: [...identity.user.groups, groupAuthenticated] };
    return {
      authenticated: true,
      user: userInfoOf(user),
      ...(identity.audiences ? { audiences: identity.audiences } : {}),
    };
  } catch (error) {
    return { authenticated: false, user: {}, error: error instanceof Error ? error.message : String(error) };
  }
}
