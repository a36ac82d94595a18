/**
 * Asks the authorizer, and refuses with upstream's 403.
 */
import { forbiddenByAuthorizer } from "#apiserver/authorization/authorizers.ts";
import type { Query } from "#apiserver/api-request.ts";
import type { Authorizer, RequestInfo, User } from "#apiserver/request.ts";

/** Throws Forbidden when the user may not do this. */
export async function authorize(
  authorizer: Authorizer,
  user: User,
  request: { readonly info: RequestInfo; readonly query: Query },
): Promise<void> {
  const { info, query } = request;
  const labelSelector = query.get("labelSelector");
  const fieldSelector = query.get("fieldSelector");
  const decision = await authorizer.authorize(user, info, {
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  });
  if (!decision.allowed) throw forbiddenByAuthorizer(user, info, decision.reason);
}
