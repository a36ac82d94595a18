/**
 * From a parsed, authorized request to the handler of its verb. One file for each verb stands beside this one.
 */
import { badRequest, StatusError } from "#apimachinery/status-error.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { methodNotSupported, pathNotFound } from "#apiserver/registry/errors.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { handleCustomScale } from "#apiserver/custom-resources/custom-scale.ts";
import { handleCreate } from "./create.ts";
import { handleDelete } from "./delete.ts";
import { handleDeleteCollection } from "./delete-collection.ts";
import { handleGet } from "./get.ts";
import { type HandlerParts, type SubresourceHandler, subresourceKey } from "./handler-parts.ts";
import { handleList } from "./list.ts";
import { handlePatch } from "./patch.ts";
import { handleUpdate } from "./update.ts";
import { handleWatch } from "./watch.ts";

const handlers: ReadonlyMap<string, SubresourceHandler> = new Map([
  ["get", handleGet],
  ["list", handleList],
  ["watch", handleWatch],
  ["create", handleCreate],
  ["update", handleUpdate],
  ["patch", handlePatch],
  ["delete", handleDelete],
  ["deletecollection", handleDeleteCollection],
]);

/** Subresources that get, update and patch the object itself. */
const objectSubresources: ReadonlySet<string> = new Set([
  "status",
  "finalize",
  "approval",
  "ephemeralcontainers",
  "resize",
]);

/** Answers a resource request. Throws StatusError. */
export function dispatch(parts: HandlerParts, context: RequestContext): Promise<ApiResult> {
  const { info } = context;
  const resource = parts.registry.parts.table.find(info.apiGroup, info.apiVersion, info.resource);
  if (resource === undefined) throw pathNotFound();
  if (info.subresource !== "" && !resource.subresources.has(info.subresource)) throw pathNotFound();
  const verbs = info.subresource === "" ? resource.facts.verbs : resource.subresources.get(info.subresource)?.verbs;
  const special =
    info.subresource === "scale" && resource.scale !== undefined
      ? handleCustomScale
      : parts.subresources.get(subresourceKey(resource, info.subresource));
  const handler = special ?? handlers.get(info.verb);
  if (handler === undefined || verbs?.includes(info.verb) !== true) throw methodNotAllowed(resource);
  if (special === undefined && info.subresource !== "" && !objectSubresources.has(info.subresource)) {
    throw methodNotSupported(resource, info.verb);
  }
  if (resource.facts.isNamespaced && info.namespace === "" && !isAcrossNamespaces(info.verb)) throw pathNotFound();
  if (!resource.facts.isNamespaced && info.namespace !== "" && resource.resource !== "namespaces") throw pathNotFound();
  checkName(info.name);
  const { deprecationWarning } = resource.strategy;
  if (deprecationWarning !== undefined) context.warnings.push(deprecationWarning);
  return handler(parts, resource, context);
}

// A name that could never be a segment of a path names nothing, and least of all something beside it.
function checkName(name: string): void {
  const faults =
    name === "." || name === ".."
      ? [`may not be '${name}'`]
      : ["/", "%"].filter((part) => name.includes(part)).map((part) => `may not contain '${part}'`);
  if (faults.length > 0) throw badRequest(`Name parameter invalid: ${JSON.stringify(name)}: ${faults.join(";")}`);
}

function isAcrossNamespaces(verb: string): boolean {
  return verb === "list" || verb === "watch";
}

// A collection or object of this resource exists, but not with this method.
function methodNotAllowed(resource: ServedResource): StatusError {
  return new StatusError({
    reason: "MethodNotAllowed",
    code: 405,
    message: "the server does not allow this method on the requested resource",
    details: { ...(resource.group === "" ? {} : { group: resource.group }), kind: resource.resource },
  });
}
