/**
 * What another server offers under its group and version: its resources, from discovery in the aggregated form or the older one, and the hash of its OpenAPI v3 document.
 */
import type { IncomingMessage } from "node:http";
import type { ResourceFacts, SubresourceFacts } from "#api/kind-facts.ts";
import { aggregatorUser, type RemoteApi } from "./remote-api.ts";

/** Largest document that is read, in bytes. */
const maxBytes = 16 << 20;
const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** What is known of it. */
export type RemoteDocuments = {
  readonly resources: readonly ResourceFacts[];
  /** Absent: it has no OpenAPI v3. */
  readonly openApiHash: string | undefined;
};

/** Asks for it. Throws when discovery cannot be had. */
export async function readDocuments(api: RemoteApi, signal: AbortSignal): Promise<RemoteDocuments> {
  const [resources, openApiHash] = await Promise.all([
    readResources(api, signal),
    readOpenApiHash(api, signal).catch(() => undefined), // discovery alone is enough
  ]);
  return { resources, openApiHash };
}

type Kind = { readonly group?: string; readonly version?: string; readonly kind?: string };

type AggregatedResource = {
  readonly resource: string;
  readonly responseKind?: Kind;
  readonly scope?: string;
  readonly singularResource?: string;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly subresources?: readonly {
    readonly subresource: string;
    readonly responseKind?: Kind;
    readonly verbs?: readonly string[];
  }[];
};

type GroupList = {
  readonly kind?: string;
  readonly items?: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions?: readonly { readonly version: string; readonly resources?: readonly AggregatedResource[] }[];
  }[];
};

type OlderResource = Kind & {
  readonly name: string;
  readonly singularName?: string;
  readonly namespaced?: boolean;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
};

type GroupVersion = { readonly group: string; readonly version: string };

async function readResources(api: RemoteApi, signal: AbortSignal): Promise<readonly ResourceFacts[]> {
  const { group = "", version = "" } = api.apiService.spec ?? {};
  // Servers that know no aggregated discovery are asked version by version.
  const list = await getJson<GroupList>(api, "/apis", `${aggregated},application/json`, signal).catch(() => undefined);
  if (list?.kind === "APIGroupDiscoveryList") {
    const found = list.items?.find(({ metadata }) => metadata?.name === group);
    const resources = found?.versions?.find((each) => each.version === version)?.resources;
    if (resources !== undefined) return resources.map((resource) => fromAggregated({ group, version }, resource));
  }
  const path = `/apis/${group}/${version}`;
  const older = await getJson<{ readonly resources?: readonly OlderResource[] }>(api, path, "application/json", signal);
  return fromOlder({ group, version }, older.resources ?? []);
}

async function readOpenApiHash(api: RemoteApi, signal: AbortSignal): Promise<string | undefined> {
  const { group = "", version = "" } = api.apiService.spec ?? {};
  type Index = { readonly paths?: Readonly<Record<string, { readonly serverRelativeURL?: string }>> };
  const index = await getJson<Index>(api, "/openapi/v3", "application/json", signal);
  const url = index.paths?.[`apis/${group}/${version}`]?.serverRelativeURL;
  if (url === undefined) return undefined;
  return new URL(url, "https://localhost").searchParams.get("hash") ?? "";
}

async function getJson<T>(api: RemoteApi, path: string, accept: string, signal: AbortSignal): Promise<T> {
  const response = await api.send({ method: "GET", path, user: aggregatorUser, headers: { accept }, signal });
  const text = await readText(response, maxBytes);
  if (response.statusCode !== 200) throw new Error(`${path} answered ${response.statusCode}`);
  return JSON.parse(text) as T;
}

/** A whole body. Throws when it is longer than that. */
export async function readText(response: IncomingMessage, limitBytes: number): Promise<string> {
  return (await readBytes(response, limitBytes)).toString();
}

/** The same, as bytes. */
export async function readBytes(response: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response) {
    parts.push(part as Buffer);
    size += (part as Buffer).length;
    if (size > limitBytes) throw new Error(`the answer is longer than ${limitBytes} bytes`);
  }
  return Buffer.concat(parts);
}

function fromAggregated(own: GroupVersion, found: AggregatedResource): ResourceFacts {
  return {
    ...own,
    resource: found.resource,
    singular: found.singularResource ?? "",
    kind: found.responseKind?.kind ?? "",
    isNamespaced: found.scope === "Namespaced",
    verbs: found.verbs ?? [],
    shortNames: found.shortNames ?? [],
    categories: found.categories ?? [],
    subresources: (found.subresources ?? []).map(({ subresource, responseKind, verbs }) =>
      subresourceOf(own, subresource, responseKind, verbs),
    ),
    storageVersion: own.version,
    isEnabledByDefault: true,
  };
}

function fromOlder(own: GroupVersion, all: readonly OlderResource[]): readonly ResourceFacts[] {
  return all
    .filter(({ name }) => !name.includes("/"))
    .map((found) => ({
      ...own,
      resource: found.name,
      singular: found.singularName ?? "",
      kind: found.kind ?? "",
      isNamespaced: found.namespaced === true,
      verbs: found.verbs ?? [],
      shortNames: found.shortNames ?? [],
      categories: found.categories ?? [],
      subresources: all
        .filter(({ name }) => name.startsWith(`${found.name}/`))
        .map((sub) => subresourceOf(own, sub.name.slice(found.name.length + 1), sub, sub.verbs)),
      storageVersion: own.version,
      isEnabledByDefault: true,
    }));
}

function subresourceOf(
  own: GroupVersion,
  name: string,
  kind: Kind = {},
  verbs: readonly string[] = [],
): SubresourceFacts {
  const isOwn = !kind.version;
  return {
    name,
    group: isOwn ? own.group : (kind.group ?? ""),
    version: isOwn ? own.version : (kind.version ?? ""),
    kind: kind.kind ?? "",
    verbs,
  };
}
