/**
 * Fields that say who made an object, set by the server from who asks: those of CertificateSigningRequests.
 */
import type { Draft } from "#api/strategy.ts";
import type { User } from "#apiserver/request.ts";
import type { ServedResource } from "./served-resource.ts";

/** Writes the user into a new object, for the kinds that carry one. */
export function stampUser(resource: ServedResource, draft: Draft, user: User): void {
  if (resource.group !== "certificates.k8s.io" || resource.resource !== "certificatesigningrequests") return;
  const spec = (draft["spec"] ??= {}) as Draft;
  spec["username"] = user.name;
  spec["groups"] = [...user.groups];
  if (user.uid) spec["uid"] = user.uid;
  else delete spec["uid"];
  const extra = Object.entries(user.extra ?? {});
  if (extra.length > 0) spec["extra"] = Object.fromEntries(extra.map(([key, values]) => [key, [...values]]));
  else delete spec["extra"];
}
