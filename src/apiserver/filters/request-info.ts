/**
 * Reads from method and path what a request is about, as apiserver's pkg/endpoints/request does: `/api/v1/namespaces/default/pods/web/log` is verb get, resource pods, subresource
 * log, namespace default, name web. Paths outside /api and /apis are non-resource requests.
 */
import { StatusError } from "#apimachinery/status-error.ts";
import type { Query } from "#apiserver/api-request.ts";
import type { ApiVerb, RequestInfo } from "#apiserver/request.ts";

/** Subresources of a namespace itself; anything else behind its name is a resource in it. */
const NAMESPACE_SUBRESOURCES = new Set(["status", "finalize"]);

const VERBS: Readonly<Record<string, ApiVerb>> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** Parses a request. Throws BadRequest for a path that is no valid UTF-8 in percent-encoding. */
export function parseRequestInfo(method: string, path: string, query: Query): RequestInfo {
  const parts = path.split("/").filter((part) => part !== "");
  const isApi = parts[0] === "api" && parts.length >= 3;
  const isApis = parts[0] === "apis" && parts.length >= 4;
  if (!isApi && !isApis) return nonResource(method, path);
  const decoded = path.includes("%") ? decodeParts(parts) : parts;
  const apiGroup = isApis ? (decoded[1] as string) : "";
  const apiVersion = decoded[isApis ? 2 : 1] as string;
  const rest = decoded.slice(isApis ? 3 : 2);
  const isLegacyWatch = rest[0] === "watch" && rest.length > 1;
  if (isLegacyWatch) rest.shift();
  const place = placeOf(rest);
  const verb = verbOf(method, { name: place.name, isLegacyWatch, query });
  const isCollection = verb === "list" || verb === "watch" || verb === "deletecollection";
  const name = isCollection && place.name === "" ? nameOfSelector(query) : place.name;
  return { isResourceRequest: true, path, verb, apiGroup, apiVersion, ...place, name };
}

/** What follows the resource's name and subresource in the path, with its leading slash: the path to proxy to. Raw, as sent. */
export function pathBehindSubresource(info: RequestInfo): string {
  const depth =
    3 + (info.apiGroup === "" ? 0 : 1) + (info.namespace === "" || info.resource === "namespaces" ? 0 : 2) + 3;
  const parts = info.path.split("/");
  return parts.length > depth ? `/${parts.slice(depth).join("/")}` : "";
}

function nonResource(method: string, path: string): RequestInfo {
  const verb = method.toLowerCase();
  const empty = { apiGroup: "", apiVersion: "", namespace: "", resource: "", subresource: "", name: "" };
  return { isResourceRequest: false, path, verb, ...empty };
}

type Place = {
  readonly namespace: string;
  readonly resource: string;
  readonly name: string;
  readonly subresource: string;
};

function placeOf(rest: readonly string[]): Place {
  if (rest[0] !== "namespaces" || rest.length < 3 || NAMESPACE_SUBRESOURCES.has(rest[2] as string)) {
    const [resource = "", name = "", subresource = ""] = rest;
    return { namespace: resource === "namespaces" ? name : "", resource, name, subresource };
  }
  const [, namespace = "", resource = "", name = "", subresource = ""] = rest;
  return { namespace, resource, name, subresource };
}

function verbOf(
  method: string,
  request: { readonly name: string; readonly isLegacyWatch: boolean; readonly query: Query },
): ApiVerb {
  const verb = Object.hasOwn(VERBS, method) ? (VERBS[method] as ApiVerb) : method.toLowerCase();
  if (request.isLegacyWatch && verb === "get") return "watch";
  if (request.name !== "") return verb;
  if (verb === "get") return isTrue(request.query.get("watch")) ? "watch" : "list";
  return verb === "delete" ? "deletecollection" : verb;
}

// A list or watch of `metadata.name=x` is authorized as one of that name.
function nameOfSelector(query: Query): string {
  const selector = query.get("fieldSelector");
  if (selector === undefined) return "";
  const match = /(?:^|,)metadata\.name==?([^,=\\]*)(?:,|$)/.exec(selector);
  return match?.[1] ?? "";
}

/** Booleans in queries: "" (the bare parameter) counts as true, "0" and "false" as false. */
export function isTrue(value: string | undefined): boolean {
  return value !== undefined && value !== "0" && value.toLowerCase() !== "false";
}

// An encoded slash divides as any other: Go's server looks at the decoded path.
function decodeParts(parts: readonly string[]): readonly string[] {
  return parts.flatMap((part) => decodePart(part).split("/")).filter((part) => part !== "");
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new StatusError({ reason: "BadRequest", code: 400, message: `invalid URL escape in path`, cause });
  }
}
