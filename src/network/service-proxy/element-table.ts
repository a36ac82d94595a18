/**
 * Which elements are in the table, and for which Service. Gives, for a Service's new elements, what must be added and deleted.
 */
import type { Element } from "./elements.ts";

/** A change of the table: deletions come first. */
export type ElementChanges = { readonly deleted: readonly Element[]; readonly added: readonly Element[] };

/** Nearly all elements have one owner, and a set for it would be larger than that. */
type Entry = { element: Element; owners: string | Set<string> };

/** Elements by set and key. Several Services may own the same element of a set; of a map element the newest owner's value counts. */
export class ElementTable {
  /** By set, then by key. */
  readonly #entries = new Map<string, Map<string, Entry>>();
  readonly #byOwner = new Map<string, readonly Element[]>();

  /** Replaces all elements of `owner`; none means that the Service is gone. */
  replace(owner: string, next: readonly Element[]): ElementChanges {
    const deleted: Element[] = [];
    const added: Element[] = [];
    const keep = new Set(next.map(idOf));
    for (const element of this.#byOwner.get(owner) ?? []) {
      const entry = this.#find(element);
      if (entry === undefined || keep.has(idOf(element))) continue;
      if (typeof entry.owners !== "string" && entry.owners.delete(owner) && entry.owners.size > 0) continue;
      this.#entries.get(element.set)?.delete(element.key);
      deleted.push(entry.element);
    }
    for (const element of next) {
      const entry = this.#find(element);
      if (entry === undefined) this.#put(element, owner);
      else addOwner(entry, owner);
      if (entry?.element.value === element.value) continue;
      if (entry) {
        deleted.push(entry.element);
        entry.element = element;
      }
      added.push(element);
    }
    if (next.length === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, next);
    return { deleted, added };
  }

  /** Names of all Services that have elements. */
  owners(): readonly string[] {
    return [...this.#byOwner.keys()];
  }

  /** Elements of one Service. */
  elementsOf(owner: string): readonly Element[] {
    return this.#byOwner.get(owner) ?? [];
  }

  #find({ set, key }: Element): Entry | undefined {
    return this.#entries.get(set)?.get(key);
  }

  #put(element: Element, owner: string): void {
    const ofSet = this.#entries.get(element.set) ?? new Map<string, Entry>();
    this.#entries.set(element.set, ofSet.set(element.key, { element, owners: owner }));
  }
}

function addOwner(entry: Entry, owner: string): void {
  if (typeof entry.owners !== "string") entry.owners.add(owner);
  else if (entry.owners !== owner) entry.owners = new Set([entry.owners, owner]);
}

function idOf({ set, key }: Element): string {
  return `${set} ${key}`;
}
