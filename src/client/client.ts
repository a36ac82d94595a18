/**
 * The client: the API's verbs on resources, over a {@link Transport}. All parts of nodeless, and nothing else, meet through it.
 * Objects it gives are frozen; copy before changing (`structuredClone`).
 */
import type { GroupVersionResource, KubeList, KubeObject } from "#apimachinery/meta.ts";
import type { Transport, WatchEvent } from "./transport.ts";

/** One object, or a collection when `name` is absent. Without `namespace`: cluster-scoped, or a list over all namespaces. */
export type ResourceRef = {
  readonly resource: GroupVersionResource;
  readonly namespace?: string;
  readonly name?: string;
  /** "status", "scale", "binding", "eviction", "token", … */
  readonly subresource?: string;
};

export type GetOptions = {
  readonly resourceVersion?: string;
  /** Asks for metadata only (PartialObjectMetadata): for parts that look at all kinds. */
  readonly metadataOnly?: boolean;
  readonly signal?: AbortSignal;
};

export type ListOptions = {
  /** Asks for metadata only, as in {@link GetOptions}. */
  readonly metadataOnly?: boolean;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan";
  readonly limit?: number;
  readonly continue?: string;
  readonly signal?: AbortSignal;
};

export type WatchOptions = ListOptions & {
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
};

export type WriteOptions = {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  readonly fieldValidation?: "Ignore" | "Warn" | "Strict";
  readonly signal?: AbortSignal;
};

/** `merge` is RFC 7396, `json` RFC 6902, `strategic` Kubernetes' own, `apply` server-side apply (needs fieldManager). */
export type PatchType = "json" | "merge" | "strategic" | "apply";

export type PatchOptions = WriteOptions & { readonly force?: boolean };

export type DeleteOptions = {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
};

/** The API's verbs. Every method throws StatusError as the server said it. */
export interface Client {
  readonly transport: Transport;
  /** The object. Throws NotFound. */
  get<T extends KubeObject>(ref: ResourceRef, options?: GetOptions): Promise<T>;
  /** One page (all, without limit). */
  list<T extends KubeObject>(ref: ResourceRef, options?: ListOptions): Promise<KubeList<T>>;
  /** Follows a collection; ends when the server ends it. See {@link Transport.watch}. */
  watch<T extends KubeObject>(ref: ResourceRef, options?: WatchOptions): Promise<AsyncIterable<WatchEvent<T>>>;
  /** Creates `object`; with a subresource (binding, eviction, token) `ref.name` names the object it acts on. Gives what the server answers. */
  create<T extends KubeObject>(ref: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  /** Replaces the object. Throws Conflict when `metadata.resourceVersion` is given and not the current one. */
  update<T extends KubeObject>(ref: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  /** Changes parts of the object. */
  patch<T extends KubeObject>(
    ref: ResourceRef,
    patch: { readonly type: PatchType; readonly body: unknown },
    options?: PatchOptions,
  ): Promise<T>;
  /** Deletes; gives the Status, or the object while finalizers or grace hold it. */
  delete(ref: ResourceRef, options?: DeleteOptions): Promise<KubeObject>;
  /** Deletes all objects that match. */
  deleteCollection(ref: ResourceRef, list: ListOptions, options?: DeleteOptions): Promise<void>;
}
