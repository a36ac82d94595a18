/**
 * Discovery documents, made from the list of what is served: the older ones (/api, /apis, /apis/g, /apis/g/v) and the aggregated one that kubectl asks first.
 * Shapes and order as kube-apiserver's, so that caches and clients that compare find nothing new.
 */
import { createHash } from "node:crypto";
import type { ResourceFacts } from "#api/kind-facts.ts";
import { formatApiVersion } from "#apimachinery/meta.ts";
import { compareVersions } from "./versions.ts";

/** A group and version with its resources. `Stale` marks those of an aggregated API server that does not answer. */
export type DiscoveryVersion = {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly ResourceFacts[];
  readonly freshness: "Current" | "Stale";
};

/** A document and its ETag (with quotes): the same list gives the same tag. */
export type TaggedDocument = { readonly body: string; readonly etag: string };

type Version = { readonly groupVersion: string; readonly version: string };
type Group = { readonly name: string; readonly versions: readonly Version[]; readonly preferredVersion: Version };

/** The documents of one list. Make a new one when the list changes; documents are built when first asked for. */
export class Discovery {
  /** Groups in order, each with its versions in order. */
  readonly #groups: ReadonlyMap<string, readonly DiscoveryVersion[]>;
  readonly #aggregated = new Map<string, TaggedDocument>();

  constructor(versions: readonly DiscoveryVersion[]) {
    const groups = new Map<string, DiscoveryVersion[]>();
    for (const version of versions) groups.set(version.group, [...(groups.get(version.group) ?? []), version]);
    for (const list of groups.values()) list.sort((left, right) => compareVersions(left.version, right.version));
    this.#groups = groups;
  }

  /** /api. `serverAddress` is "host:port" as clients reach it. */
  apiVersions(serverAddress: string): object {
    return {
      kind: "APIVersions",
      versions: (this.#groups.get("") ?? []).map(({ version }) => version),
      serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
    };
  }

  /** /apis: all groups but the core one. */
  groupList(): object {
    const groups = [...this.#groups.keys()].filter((name) => name !== "").map((name) => this.#group(name));
    return { kind: "APIGroupList", apiVersion: "v1", groups };
  }

  /** /apis/GROUP, or undefined. */
  group(name: string): object | undefined {
    if (name === "" || !this.#groups.has(name)) return undefined;
    return { kind: "APIGroup", apiVersion: "v1", ...this.#group(name) };
  }

  /** /api/v1 and /apis/GROUP/VERSION, or undefined. */
  resourceList(group: string, version: string): object | undefined {
    const found = this.#groups.get(group)?.find((candidate) => candidate.version === version);
    if (found === undefined) return undefined;
    return {
      kind: "APIResourceList",
      ...(group === "" ? {} : { apiVersion: "v1" }),
      groupVersion: formatApiVersion(found),
      resources: sorted(found.resources).flatMap(listEntries),
    };
  }

  /** The aggregated document of "/api" (the core group) or "/apis" (the others). */
  aggregated(root: "/api" | "/apis", apiVersion: "v2" | "v2beta1"): TaggedDocument {
    const key = `${root} ${apiVersion}`;
    const known = this.#aggregated.get(key);
    if (known !== undefined) return known;
    const names = [...this.#groups.keys()].filter((name) => (name === "") === (root === "/api"));
    const items = names.map((name) => this.#aggregatedGroup(name));
    const list = {
      kind: "APIGroupDiscoveryList",
      apiVersion: `apidiscovery.k8s.io/${apiVersion}`,
      metadata: {},
      items,
    };
    const body = JSON.stringify(list);
    const document = { body, etag: `"${createHash("sha512").update(body).digest("hex").toUpperCase()}"` };
    this.#aggregated.set(key, document);
    return document;
  }

  #group(name: string): Group {
    const versions = (this.#groups.get(name) ?? []).map((found) => ({
      groupVersion: formatApiVersion(found),
      version: found.version,
    }));
    return { name, versions, preferredVersion: versions[0] as Version };
  }

  #aggregatedGroup(name: string): object {
    const versions = (this.#groups.get(name) ?? []).map(({ version, resources, freshness }) => ({
      version,
      resources: sorted(resources).map(aggregatedEntry),
      freshness,
    }));
    return { metadata: name === "" ? {} : { name }, versions };
  }
}

/** Groups resources by group and version, in the order of their first appearance. */
export function groupByVersion(resources: Iterable<ResourceFacts>): DiscoveryVersion[] {
  const versions = new Map<string, ResourceFacts[]>();
  for (const facts of resources) {
    const key = `${facts.group}/${facts.version}`;
    versions.set(key, [...(versions.get(key) ?? []), facts]);
  }
  return [...versions.values()].map((list) => {
    const { group, version } = list[0] as ResourceFacts;
    return { group, version, resources: list, freshness: "Current" };
  });
}

function listEntries(facts: ResourceFacts): object[] {
  const isStored = facts.verbs.includes("get") && facts.verbs.includes("create");
  const main = {
    name: facts.resource,
    singularName: facts.singular,
    namespaced: facts.isNamespaced,
    kind: facts.kind,
    verbs: facts.verbs,
    ...(facts.shortNames.length === 0 ? {} : { shortNames: facts.shortNames }),
    ...(facts.categories.length === 0 ? {} : { categories: facts.categories }),
    ...(isStored ? { storageVersionHash: storageVersionHash(facts) } : {}),
  };
  const subresources = facts.subresources.map((subresource) => {
    const isOwn = subresource.group === facts.group && subresource.version === facts.version;
    return {
      name: `${facts.resource}/${subresource.name}`,
      singularName: "",
      namespaced: facts.isNamespaced,
      ...(isOwn ? {} : { group: subresource.group, version: subresource.version }),
      kind: subresource.kind,
      verbs: subresource.verbs,
    };
  });
  return [main, ...subresources];
}

function aggregatedEntry(facts: ResourceFacts): object {
  const subresources = facts.subresources.map(({ name, group, version, kind, verbs }) => {
    const isOwn = group === facts.group && version === facts.version;
    return {
      subresource: name,
      responseKind: { group: isOwn ? "" : group, version: isOwn ? "" : version, kind },
      verbs,
    };
  });
  return {
    resource: facts.resource,
    responseKind: { group: "", version: "", kind: facts.kind },
    scope: facts.isNamespaced ? "Namespaced" : "Cluster",
    singularResource: facts.singular,
    verbs: facts.verbs,
    ...(facts.shortNames.length === 0 ? {} : { shortNames: facts.shortNames }),
    ...(facts.categories.length === 0 ? {} : { categories: facts.categories }),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}

/** Names the version in which objects are stored, so that storage migration notices a change. */
function storageVersionHash({ group, storageVersion, kind }: ResourceFacts): string {
  return createHash("sha256").update(`${group}/${storageVersion}/${kind}`).digest().subarray(0, 8).toString("base64");
}

function sorted(resources: readonly ResourceFacts[]): ResourceFacts[] {
  return [...resources].sort((left, right) => (left.resource < right.resource ? -1 : 1));
}
