/**
 * Objects that need not be there.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client, DeleteOptions, GetOptions, ResourceRef } from "./client.ts";

/** The object as the server has it now; undefined when it is not there. Throws all other errors. */
export async function findObject<T extends KubeObject>(
  client: Client,
  ref: ResourceRef,
  options: GetOptions = {},
): Promise<T | undefined> {
  try {
    return await client.get<T>(ref, options);
  } catch (error) {
    if (hasReason(error, "NotFound")) return undefined;
    throw error;
  }
}

/** Deletes the object; one that is gone already is success. Throws all other errors. */
export async function ensureDeleted(client: Client, ref: ResourceRef, options: DeleteOptions = {}): Promise<void> {
  try {
    await client.delete(ref, options);
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
  }
}
