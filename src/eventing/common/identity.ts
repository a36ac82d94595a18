/**
 * The identity with which events of an object are sent: a service account of its own, while the feature `authentication-oidc` is on. Names, label and conditions as upstream's `pkg/auth/serviceaccount.go` (v1.22).
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { isControlledBy } from "#apimachinery/owner-references.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { AuthStatus } from "#eventing/kinds.ts";
import { isFalse, isTrue } from "#knative/conditions.ts";
import type { DuckStatus } from "#knative/duck.ts";
import type { Look } from "#knative/kind-controller.ts";
import { childName } from "#knative/names.ts";
import { ownedMeta } from "#knative/objects.ts";
import type { EventingContext } from "./context.ts";

/** On everything that is made for identities. */
export const oidcLabel = "eventing.knative.dev/oidc";

const serviceAccounts = { group: "", version: "v1", resource: "serviceaccounts" };
const condition = "OIDCIdentityCreated";

/** An object that may have an identity. */
type Identified = KubeObject & { readonly status?: { readonly auth?: AuthStatus } };

/** Group and kind of the object. */
export type IdentityKind = { readonly group: string; readonly kind: string };

/** What a status says of it. */
export type IdentityStatus = Omit<DuckStatus, "conditions"> & { readonly auth?: AuthStatus };

/** Makes or takes away the service account, marks the condition, and gives what the status says of it. */
export async function ensureIdentity(
  { client, config }: Pick<EventingContext, "client" | "config">,
  object: Identified,
  kind: IdentityKind,
  look: Look,
): Promise<IdentityStatus> {
  const name = identityName(kind, object.metadata?.name ?? "");
  if (!config.current.features.authenticationOidc) {
    if (object.status?.auth?.serviceAccountName !== undefined) await remove(client, object, name, look.signal);
    look.conditions.mark(condition, { status: "True", reason: "authentication-oidc feature disabled" });
    return {};
  }
  const problem = await ensureAccount(client, object, { ...kind, name }, look);
  const reason = "Unable to resolve service account for OIDC authentication";
  look.conditions.mark(condition, problem === undefined ? isTrue : isFalse(reason, problem));
  return { auth: { serviceAccountName: name } };
}

/** Of the service account of such an object. */
export function identityName({ group, kind }: IdentityKind, name: string): string {
  return childName(name, `-oidc-${group}-${kind}`).toLowerCase();
}

/** What is in the way, if anything. */
async function ensureAccount(
  client: Client,
  object: KubeObject,
  { kind, name }: { readonly kind: string; readonly name: string },
  { find, signal }: Look,
): Promise<string | undefined> {
  const { namespace = "", name: ownerName = "" } = object.metadata ?? {};
  const found = await find({ apiVersion: "v1", kind: "ServiceAccount", namespace, name });
  if (found !== undefined)
    return isControlledBy(found, object) ? undefined : `service account ${name} not owned by ${kind} ${ownerName}`;
  const description = `Service Account for OIDC Authentication for ${kind} ${JSON.stringify(ownerName)}`;
  const metadata = ownedMeta(object, { name, labels: { [oidcLabel]: "enabled" }, annotations: { description } });
  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata } as KubeObject;
  try {
    await client.create({ resource: serviceAccounts, namespace }, account, { signal });
  } catch (error) {
    // Seen a moment later.
    if (!hasReason(error, "AlreadyExists")) throw error;
  }
  return undefined;
}

async function remove(client: Client, object: KubeObject, name: string, signal: AbortSignal): Promise<void> {
  const ref = { resource: serviceAccounts, namespace: object.metadata?.namespace ?? "", name };
  try {
    const found = await client.get<KubeObject>(ref, { signal });
    if (isControlledBy(found, object)) await client.delete(ref, { signal });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
  }
}
