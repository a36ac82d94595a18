/**
 * What a list or watch is about: a range of keys and, with selectors, which of the objects there.
 */
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { ObjectFilter } from "./cache-event.ts";

/** Which objects a watch is about. */
export type Selection = {
  /** What keys begin with: a resource's or a namespace's prefix. */
  readonly prefix: string;
  /** Absent: all of them. */
  readonly filter?: ObjectFilter | undefined;
  /** Watches with the same prefix and key see the same. Absent: nobody else sees what this one does. */
  readonly key?: string | undefined;
  /** The one value that a field must have, where the selector pins one: watches are found by it instead of being asked one by one. */
  readonly pinned?: { readonly field: string; readonly value: string } | undefined;
};

/** True when an object belongs to a selection. */
export function isSelected(selection: Selection, object: StoredObject): boolean {
  return object.key.startsWith(selection.prefix) && (selection.filter === undefined || selection.filter(object));
}
