/**
 * How the objects of one resource stand in the store: under which keys, in which version, and which of their fields selectors may name. One for all versions of a kind.
 */
import type { KubeObject } from "#apimachinery/meta.ts";

/** Where all API objects are kept. Keys are `/registry/<resource.group>/<namespace>/<name>`. */
export const REGISTRY_PREFIX = "/registry/";

/** One resource in the store. */
export type StoredResource = {
  /** "pods", "deployments.apps": a part of the key, and the subject of errors. */
  readonly groupResource: string;
  /** `/registry/pods/`. */
  readonly prefix: string;
  readonly isNamespaced: boolean;
  readonly kind: string;
  /** Version that objects are stored in: "v1", "apps/v1". */
  readonly apiVersion: string;
  /** What each stored object begins with, in bytes: `{"kind":"Pod","apiVersion":"v1","metadata":{`. */
  readonly head: Buffer;
  /** Fields that field selectors may name, beyond metadata.name and metadata.namespace. */
  readonly selectableFields: (object: KubeObject) => Readonly<Record<string, string>>;
  /** Brings an object that is read from the store into today's form: defaults that came after it was written. Gives the same object when it is fine. */
  readonly normalize?: (object: KubeObject) => KubeObject;
  /** True where a webhook converts: objects stay in the version they were stored in until they are written again. Elsewhere they differ in apiVersion only, and are read as of today's. */
  readonly keepsVersions?: boolean;
};

/** What a {@link StoredResource} is made of. */
export type StoredResourceInit = {
  readonly groupResource: string;
  readonly isNamespaced: boolean;
  readonly kind: string;
  readonly apiVersion: string;
  readonly selectableFields?: (object: KubeObject) => Readonly<Record<string, string>>;
  readonly normalize?: (object: KubeObject) => KubeObject;
  readonly keepsVersions?: boolean;
};

/** Completes the description of a resource. */
export function createStoredResource(init: StoredResourceInit): StoredResource {
  return {
    ...init,
    prefix: `${REGISTRY_PREFIX}${init.groupResource}/`,
    head: objectHead(init.kind, init.apiVersion),
    selectableFields: init.selectableFields ?? (() => ({})),
  };
}

/** The first bytes of an object of this kind and version, up to where the resourceVersion is spliced in. */
export function objectHead(kind: string, apiVersion: string): Buffer {
  return Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{`);
}

/** The key of an object. */
export function keyOf(resource: StoredResource, namespace: string, name: string): string {
  return resource.isNamespaced ? `${resource.prefix}${namespace}/${name}` : resource.prefix + name;
}

/** What the keys of a namespace's objects begin with; "" means all namespaces. */
export function prefixOf(resource: StoredResource, namespace: string): string {
  return resource.isNamespaced && namespace !== "" ? `${resource.prefix}${namespace}/` : resource.prefix;
}
