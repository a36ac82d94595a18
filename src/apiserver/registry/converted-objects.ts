/**
 * Many stored objects in the version that is asked for. Where a webhook converts, one call does it for a whole list, before anything of it is sent: what goes wrong is an error then,
 * and not half an answer.
 */
import type { ListPage } from "#apiserver/api-request.ts";
import { StoredObject, toStoredBytes } from "#apiserver/storage/stored-object.ts";
import type { ServedResource } from "./served-resource.ts";

/** The page with its objects converted, where that is better done together. */
export async function inOneVersion(page: ListPage): Promise<ListPage> {
  const objects = await convertTogether(page.resource, page.objects);
  return objects === page.objects ? page : { ...page, objects };
}

/** The objects converted, where that is better done together; else as they are given. */
export async function convertTogether(
  resource: ServedResource,
  objects: Iterable<StoredObject>,
): Promise<Iterable<StoredObject>> {
  const { conversion } = resource;
  const view = conversion?.converted;
  if (conversion === undefined || view === undefined) return objects;
  const all = [...objects];
  const converted = await conversion.fromStored(all.map(({ object }) => object));
  return all.map(({ key, revision }, index) => {
    const parsed = converted[index] ?? {};
    return new StoredObject(view, { key, revision, bytes: toStoredBytes(view, parsed), parsed });
  });
}
