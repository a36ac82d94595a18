/**
 * The index of paths, /api, /apis and what is below them without naming a resource: discovery, in the older form and the aggregated one.
 */
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { Discovery, type DiscoveryVersion, groupByVersion } from "#apiserver/discovery/discovery.ts";
import type { ResourceTable } from "#apiserver/registry/served-resource.ts";
import type { NonResourceHandler } from "./non-resource.ts";

const AGGREGATED = /application\/json\s*;[^,]*\bas=APIGroupDiscoveryList/;

/** Groups and versions that other servers serve. `generation` is raised with every change. */
export type RemoteVersions = { readonly generation: number; versions(): readonly DiscoveryVersion[] };

/** Serves discovery of what the table holds at the moment, and other servers. */
export function createDiscoveryHandler(
  table: ResourceTable,
  serverAddress: () => string,
  remote?: RemoteVersions,
): NonResourceHandler {
  let made: { readonly generation: string; readonly discovery: Discovery } | undefined;
  const current = (): Discovery => {
    const generation = `${table.generation} ${remote?.generation}`;
    if (made?.generation !== generation) {
      const own = groupByVersion([...table.all()].map((resource) => resource.facts));
      made = { generation, discovery: new Discovery(joined(own, remote?.versions() ?? [])) };
    }
    return made.discovery;
  };
  return {
    handle(context) {
      const path = context.info.path.replace(/(?<=.)\/$/, "");
      if (path === "/") return index([...table.all()].map((resource) => resource.facts));
      if (path !== "/api" && path !== "/apis" && !/^\/(api|apis)\//.test(path)) return undefined;
      if (path === "/api" || path === "/apis") return root(current(), path, context, serverAddress());
      return below(current(), path);
    },
  };
}

// Another server's version stands in the place of our own.
function joined(own: readonly DiscoveryVersion[], remote: readonly DiscoveryVersion[]): readonly DiscoveryVersion[] {
  const isSame = (a: DiscoveryVersion, b: DiscoveryVersion): boolean => a.group === b.group && a.version === b.version;
  return [...own.filter((version) => !remote.some((other) => isSame(version, other))), ...remote];
}

function root(discovery: Discovery, path: "/api" | "/apis", context: RequestContext, address: string): ApiResult {
  const { accept } = context.request.headers;
  const apiVersion = typeof accept === "string" && AGGREGATED.test(accept) ? aggregatedVersion(accept) : undefined;
  if (apiVersion === undefined) {
    return json(path === "/api" ? discovery.apiVersions(address) : discovery.groupList());
  }
  const { body, etag } = discovery.aggregated(path, apiVersion);
  const headers = { vary: "Accept", etag, "cache-control": "public" };
  const contentType = `application/json;g=apidiscovery.k8s.io;v=${apiVersion};as=APIGroupDiscoveryList`;
  if (context.request.headers["if-none-match"] === etag)
    return { type: "bytes", status: 304, contentType, body: "", headers };
  return { type: "bytes", status: 200, contentType, body, headers };
}

// v2beta1 is no longer served: who asks for nothing newer gets the older documents.
function aggregatedVersion(accept: string): "v2" | undefined {
  for (const clause of accept.split(",")) {
    if (!clause.includes("as=APIGroupDiscoveryList")) continue;
    if (/;\s*v=v2(?:\s*;|\s*$)/.test(clause) && clause.includes("g=apidiscovery.k8s.io")) return "v2";
  }
  return undefined;
}

function below(discovery: Discovery, path: string): ApiResult | undefined {
  const [, root_, first = "", second, ...rest] = path.split("/");
  if (rest.length > 0) return undefined;
  const document =
    root_ === "api"
      ? second === undefined && discovery.resourceList("", first)
      : second === undefined
        ? discovery.group(first)
        : discovery.resourceList(first, second);
  return document ? json(document) : undefined;
}

const otherPaths = [
  "/.well-known/openid-configuration",
  "/healthz",
  "/livez",
  "/metrics",
  "/openapi/v2",
  "/openapi/v3",
  "/openid/v1/jwks",
  "/readyz",
  "/version",
];

// What `kubectl get --raw /` shows: all paths that lead on.
function index(facts: readonly { readonly group: string; readonly version: string }[]): ApiResult {
  const apis = facts.flatMap(({ group, version }) =>
    group === "" ? ["/api", `/api/${version}`] : ["/apis", "/apis/", `/apis/${group}`, `/apis/${group}/${version}`],
  );
  const paths = [...new Set([...apis, ...otherPaths])].sort();
  return { type: "bytes", status: 200, contentType: "application/json", body: JSON.stringify({ paths }, undefined, 2) };
}

function json(document: object): ApiResult {
  const headers = { vary: "Accept" };
  return {
    type: "bytes",
    status: 200,
    contentType: "application/json",
    body: `${JSON.stringify(document)}\n`,
    headers,
  };
}
