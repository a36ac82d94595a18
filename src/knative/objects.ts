/**
 * What all of Knative's controllers do with objects: create what is missing, write what differs, and say what they found in the status.
 */
import type { GroupVersionResource, KubeObject, ObjectMeta } from "#apimachinery/meta.ts";
import { controllerReference } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import type { Client } from "#client/client.ts";
import type { Conditioned, DuckStatus } from "./duck.ts";

/** metadata of an object that belongs to `owner`. */
export function ownedMeta(
  owner: KubeObject,
  meta: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  },
): ObjectMeta {
  const namespace = owner.metadata?.namespace;
  return {
    ...meta,
    ...(namespace === undefined ? {} : { namespace }),
    ownerReferences: [controllerReference(owner)],
  };
}

/** A map without some of its keys. */
export function without(
  map: Readonly<Record<string, string>> | undefined,
  isExcluded: (key: string) => boolean,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => !isExcluded(key)));
}

/** The annotation in which `kubectl apply` keeps the manifest: it is about the object itself and is not passed on. */
export const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

/** True when the two differ in what a controller of ours decides over. */
export function differs(found: KubeObject & { readonly spec?: unknown }, wanted: typeof found): boolean {
  return !(
    semanticEqual(found.spec, wanted.spec) &&
    semanticEqual(found.metadata?.labels, wanted.metadata?.labels) &&
    semanticEqual(found.metadata?.annotations, wanted.metadata?.annotations)
  );
}

/** Writes spec, labels and annotations of `wanted` over `found`. Throws Conflict when somebody was faster. */
export async function overwrite<T extends KubeObject & { readonly spec?: unknown }>(
  client: Client,
  resource: GroupVersionResource,
  options: { readonly found: T; readonly wanted: T; readonly signal: AbortSignal },
): Promise<T> {
  const { found, wanted, signal } = options;
  const { labels, annotations } = wanted.metadata ?? {};
  const metadata: ObjectMeta = {
    ...found.metadata,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
  return await client.update<T>(refOf(resource, found), { ...found, spec: wanted.spec, metadata }, { signal });
}

/** How the API is asked for an object. */
export function refOf(
  resource: GroupVersionResource,
  { metadata }: KubeObject,
): { readonly resource: GroupVersionResource; readonly namespace: string; readonly name: string } {
  return { resource, namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" };
}

/** Writes the status when it differs, with the generation it is about. */
export async function writeStatus<T extends Conditioned>(
  client: Client,
  resource: GroupVersionResource,
  options: { readonly object: T; readonly status: DuckStatus; readonly signal: AbortSignal },
): Promise<void> {
  const { object, signal } = options;
  const observed = object.metadata?.generation;
  const status = { ...options.status, ...(observed === undefined ? {} : { observedGeneration: observed }) };
  if (semanticEqual(object.status, status)) return;
  const ref = { ...refOf(resource, object), subresource: "status" };
  await client.update(ref, { ...object, status }, { signal });
}

/** True when the status is about the object as it is now, and says Ready. */
export function isReady(object: Conditioned): boolean {
  return readyStatusOf(object) === "True";
}

/** True when the status is about the object as it is now, and says that it will not become ready. */
export function isFailed(object: Conditioned): boolean {
  return readyStatusOf(object) === "False";
}

function readyStatusOf({ metadata, status }: Conditioned): string | undefined {
  if (status?.observedGeneration !== metadata?.generation) return undefined;
  return status?.conditions?.find(({ type }) => type === "Ready")?.status;
}
