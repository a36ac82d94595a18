/**
 * What all API objects have in common: type, name, versions, owners. Names and meaning as in meta/v1.
 */

/** JSON as the API server takes and gives it: no undefined, no NaN, no class instances. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Points from an object to one that it belongs to; the garbage collector follows it. */
export type OwnerReference = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
};

/** Which manager owns which fields of an object, as server-side apply records it. `fieldsV1` is a trie of path elements. */
export type ManagedFieldsEntry = {
  readonly manager?: string;
  readonly operation?: "Apply" | "Update";
  readonly apiVersion?: string;
  readonly time?: string;
  readonly fieldsType?: "FieldsV1";
  readonly fieldsV1?: Json;
  readonly subresource?: string;
};

/** metadata of every object that the API server keeps. Times are RFC 3339 in UTC with whole seconds. */
export type ObjectMeta = {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string | null;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
  readonly managedFields?: readonly ManagedFieldsEntry[];
  readonly selfLink?: string;
};

/** Any object of the API. The kinds in `#api/generated/types/` are narrower forms of it. */
export type KubeObject = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: ObjectMeta;
};

/** metadata of a list. `resourceVersion` is the store's revision at which the list was true. */
export type ListMeta = {
  readonly resourceVersion?: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
  readonly selfLink?: string;
};

/** A list of objects, as the API answers it. */
export type KubeList<T extends KubeObject = KubeObject> = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ListMeta;
  readonly items: readonly T[];
};

/** Group and version; the core group is "". */
export type GroupVersion = { readonly group: string; readonly version: string };

/** Names a kind: `{ group: "apps", version: "v1", kind: "Deployment" }`. */
export type GroupVersionKind = GroupVersion & { readonly kind: string };

/** Names a resource, as it stands in URLs: `{ group: "apps", version: "v1", resource: "deployments" }`. */
export type GroupVersionResource = GroupVersion & { readonly resource: string };

/** "v1" for the core group, "apps/v1" for others. */
export function formatApiVersion(groupVersion: GroupVersion): string {
  return groupVersion.group === "" ? groupVersion.version : `${groupVersion.group}/${groupVersion.version}`;
}

/** The reverse of {@link formatApiVersion}. "v1" is the core group's. */
export function parseApiVersion(apiVersion: string): GroupVersion {
  const slash = apiVersion.indexOf("/");
  if (slash < 0) return { group: "", version: apiVersion };
  return { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}
