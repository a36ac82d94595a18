/**
 * Which resources a server has: its discovery documents, aggregated (one request for everything) where it speaks that form, else group by group.
 */
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import { parseApiVersion } from "#apimachinery/meta.ts";
import type { Client } from "./client.ts";

/** One resource in one version. */
export type DiscoveredResource = GroupVersionResource & {
  readonly kind: string;
  readonly isNamespaced: boolean;
  readonly verbs: readonly string[];
};

/** `failed` names the groups and versions that could not be read: an aggregated server that is down. */
export type Discovery = { readonly resources: readonly DiscoveredResource[]; readonly failed: readonly string[] };

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/** All resources (no subresources), each in its group's preferred version or, where that lacks it, in the next one. */
export async function discoverResources(client: Client, signal: AbortSignal): Promise<Discovery> {
  const documents = await Promise.all(
    ["/api", "/apis"].map(async (path) => {
      const { body } = await client.transport.request({ method: "GET", path, accept: aggregated, signal });
      return body as unknown as AggregatedDocument | LegacyDocument;
    }),
  );
  const found: DiscoveredResource[] = [];
  const failed: string[] = [];
  for (const document of documents) {
    if ("items" in document) readAggregated(document, found, failed);
    else await readLegacy(client, document, found, failed, signal);
  }
  return { resources: onePerResource(found), failed };
}

type AggregatedDocument = {
  readonly items: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions?: readonly {
      readonly version: string;
      readonly freshness?: string;
      readonly resources?: readonly {
        readonly resource: string;
        readonly responseKind?: { readonly kind: string };
        readonly scope: string;
        readonly verbs: readonly string[];
      }[];
    }[];
  }[];
};

type LegacyDocument = {
  readonly versions?: readonly string[];
  readonly groups?: readonly { readonly versions: readonly { readonly groupVersion: string }[] }[];
};

function readAggregated(document: AggregatedDocument, found: DiscoveredResource[], failed: string[]): void {
  for (const { metadata, versions } of document.items) {
    const group = metadata?.name ?? "";
    for (const { version, freshness, resources } of versions ?? []) {
      if (freshness === "Stale") failed.push(group === "" ? version : `${group}/${version}`);
      for (const { resource, responseKind, scope, verbs } of resources ?? []) {
        found.push({
          group,
          version,
          resource,
          kind: responseKind?.kind ?? "",
          isNamespaced: scope === "Namespaced",
          verbs,
        });
      }
    }
  }
}

type LegacyList = {
  readonly resources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs: readonly string[];
  }[];
};

async function readLegacy(
  client: Client,
  document: LegacyDocument,
  found: DiscoveredResource[],
  failed: string[],
  signal: AbortSignal,
): Promise<void> {
  const core = (document.versions ?? []).map((version) => ({ path: `/api/${version}`, groupVersion: version }));
  const groups = (document.groups ?? []).flatMap((group) => group.versions.map(({ groupVersion }) => groupVersion));
  const all = [...core, ...groups.map((groupVersion) => ({ path: `/apis/${groupVersion}`, groupVersion }))];
  for (const { path, groupVersion } of all) {
    try {
      const { body } = await client.transport.request({ method: "GET", path, signal });
      for (const { name, kind, namespaced, verbs } of (body as unknown as LegacyList).resources ?? []) {
        if (name.includes("/")) continue;
        found.push({ ...parseApiVersion(groupVersion), resource: name, kind, isNamespaced: namespaced, verbs });
      }
    } catch {
      signal.throwIfAborted();
      failed.push(groupVersion);
    }
  }
}

/** Versions come in the server's order of preference: the first that has a resource counts. */
function onePerResource(all: readonly DiscoveredResource[]): readonly DiscoveredResource[] {
  const byName = new Map<string, DiscoveredResource>();
  for (const resource of all) {
    const key = `${resource.group}/${resource.resource}`;
    if (!byName.has(key)) byName.set(key, resource);
  }
  return [...byName.values()];
}
