/**
 * DELETE of a collection: all objects that the selectors take, several at a time. What others delete meanwhile is no error.
 */
import { hasReason } from "#apimachinery/status-error.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { deleteObject } from "#apiserver/registry/delete.ts";
import { readList } from "#apiserver/registry/read.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { parseDeleteOptions } from "./delete-options.ts";
import { type HandlerParts, readValue } from "./handler-parts.ts";
import { parseListOptions } from "./list-options.ts";

/** How many deletes run at once: enough to share the store's group commits. */
const WORKERS = 32;

export async function handleDeleteCollection(
  parts: HandlerParts,
  resource: ServedResource,
  context: RequestContext,
): Promise<ApiResult> {
  const body = await readValue(parts, context);
  const options = parseDeleteOptions(context.request.query, body);
  const { namespace, name } = context.info;
  const list = await parseListOptions(context.request.query, {
    resource,
    namespace,
    name,
    isWatch: false,
    takeSteps: context.takeSteps,
  });
  const page = await readList(parts.registry, resource, list);
  const objects = [...page.objects];
  const pending = objects.values();
  await Promise.all(Array.from({ length: Math.min(WORKERS, objects.length) }, work));
  return { type: "list", page: { ...page, objects } };

  async function work(): Promise<void> {
    for (const object of pending) await deleteOne(object);
  }

  async function deleteOne(object: StoredObject): Promise<void> {
    try {
      await deleteObject(parts.registry, {
        resource,
        namespace: object.namespace,
        name: object.name,
        options,
        context,
      });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }
}
