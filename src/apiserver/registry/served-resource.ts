/**
 * What the API server serves: one entry per group, version and resource, built-in or custom. Versions of one kind share their stored resource.
 */
import { formatApiVersion, type KubeObject } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import type { ResourceFacts, SubresourceFacts } from "#api/kind-facts.ts";
import type { KindChecks, KindStrategy } from "#api/strategy.ts";
import type { CustomKind } from "#apiserver/openapi/custom-definitions.ts";
import { objectHead, type StoredResource } from "#apiserver/storage/stored-resource.ts";

/** Changes objects between the served and the stored version, for kinds whose versions differ in more than apiVersion. May call webhooks. */
export interface VersionConversion {
  /** From the served version to the stored one. */
  toStored(object: KubeObject): KubeObject | Promise<KubeObject>;
  /** From the stored version to the served one. `objects` are frozen. */
  fromStored(objects: readonly KubeObject[]): readonly KubeObject[] | Promise<readonly KubeObject[]>;
  /** Absent where converting is cheap. Else who has many objects at hand converts them together, with these as what they become. */
  readonly converted?: StoredResource;
}

/** Paths such as `.spec.replicas`. */
export type ScalePaths = {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  readonly labelSelectorPath?: string;
  /** For built-in kinds, whose selectors are no texts. */
  readonly selectorOf?: (object: KubeObject) => string;
};

/** A resource in one version. */
export type ServedResource = {
  readonly facts: ResourceFacts;
  readonly apiVersion: string;
  /** For errors: group and plural. */
  readonly group: string;
  readonly resource: string;
  readonly kind: string;
  readonly stored: StoredResource;
  /** What objects begin with in this version. */
  readonly head: Buffer;
  readonly strategy: KindStrategy;
  readonly schema: StructSchema | undefined;
  /** True for custom resources: no protobuf, no strategic merge. */
  readonly isCustom: boolean;
  /** Absent where versions differ in apiVersion only. */
  readonly conversion?: VersionConversion;
  readonly subresources: ReadonlyMap<string, SubresourceFacts>;
  /** How OpenAPI shows a custom kind. */
  readonly openApi?: CustomKind;
  /** Served until somebody else brings the group and version: no APIService stands for it, so that others can make theirs. */
  readonly isStandIn?: boolean;
  /** Where the scale subresource's values stand in the object. */
  readonly scale?: ScalePaths;
  /** Names that field selectors may use beyond metadata.name and metadata.namespace. */
  readonly selectableFieldNames: ReadonlySet<string>;
};

/** What a {@link ServedResource} is made of. */
export type ServedResourceInit = {
  readonly facts: ResourceFacts;
  readonly stored: StoredResource;
  readonly strategy: KindStrategy;
  /** Or what makes it, asked when it is first wanted. */
  readonly schema: StructSchema | undefined | (() => StructSchema);
  readonly isCustom: boolean;
  readonly conversion?: VersionConversion;
  readonly selectableFieldNames?: readonly string[];
  readonly openApi?: CustomKind;
  readonly isStandIn?: boolean;
  readonly scale?: ScalePaths;
};

/** Completes an entry. */
export function createServedResource(init: ServedResourceInit): ServedResource {
  const { facts, schema, ...rest } = init;
  const apiVersion = formatApiVersion(facts);
  return {
    ...rest,
    facts,
    get schema() {
      return typeof schema === "function" ? schema() : schema;
    },
    apiVersion,
    group: facts.group,
    resource: facts.resource,
    kind: facts.kind,
    head: objectHead(facts.kind, apiVersion),
    selectableFieldNames: new Set(init.selectableFieldNames ?? Object.keys(init.stored.selectableFields({}))),
    subresources: new Map(facts.subresources.map((subresource) => [subresource.name, subresource])),
  };
}

/** All that is served, by group, version and resource. Custom resources come and go. */
export class ResourceTable {
  readonly #entries = new Map<string, ServedResource>();
  readonly #listeners: (() => void)[] = [];
  #generation = 0;

  /** Raised with every change: documents made of the table are made anew then. */
  get generation(): number {
    return this.#generation;
  }

  /** Adds an entry or replaces the one of the same group, version and resource. */
  set(resource: ServedResource): void {
    this.#entries.set(keyOf(resource.facts), resource);
    this.#changed();
  }

  remove(group: string, version: string, resource: string): void {
    if (this.#entries.delete(keyOf({ group, version, resource }))) this.#changed();
  }

  /** Calls back after each change, for as long as the table lives. */
  onChange(callback: () => void): void {
    this.#listeners.push(callback);
  }

  #changed(): void {
    this.#generation++;
    for (const listener of this.#listeners) listener();
  }

  find(group: string, version: string, resource: string): ServedResource | undefined {
    return this.#entries.get(keyOf({ group, version, resource }));
  }

  /** All entries, in the order in which they were added. */
  all(): Iterable<ServedResource> {
    return this.#entries.values();
  }

  /** True when anything of this group and version is served. */
  hasGroupVersion(group: string, version: string): boolean {
    for (const { facts } of this.#entries.values()) {
      if (facts.group === group && facts.version === version) return true;
    }
    return false;
  }
}

function keyOf(name: { readonly group: string; readonly version: string; readonly resource: string }): string {
  return `${name.group}/${name.version}/${name.resource}`;
}

/** The kind's checks, loaded when they are not there from the start. */
export function checksOf({ strategy }: ServedResource): KindChecks | Promise<KindChecks> {
  return strategy.loadChecks === undefined ? strategy : strategy.loadChecks();
}
