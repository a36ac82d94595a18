/**
 * Which elements are in the table, and for which Service. Gives, for a Service's new elements, what must be added and deleted.
 */
import type { Element } from "./elements.ts";

/** A change of the table: deletions come first. */
export type ElementChanges = { readonly deleted: readonly Element[]; readonly added: readonly Element[] };

type Entry = { readonly element: Element; readonly owners: Set<string> };

/** Elements by set and key. Several Services may own the same element of a set; of a map element the newest owner's value counts. */
export class ElementTable {
  readonly #entries = new Map<string, Entry>();
  readonly #byOwner = new Map<string, readonly Element[]>();

  /** Replaces all elements of `owner`; none means that the Service is gone. */
  replace(owner: string, next: readonly Element[]): ElementChanges {
    const deleted: Element[] = [];
    const added: Element[] = [];
    const keep = new Set(next.map(idOf));
    for (const element of this.#byOwner.get(owner) ?? []) {
      const id = idOf(element);
      const entry = this.#entries.get(id);
      if (keep.has(id) || !entry) continue;
      entry.owners.delete(owner);
      if (entry.owners.size > 0) continue;
      this.#entries.delete(id);
      deleted.push(entry.element);
    }
    for (const element of next) {
      const entry = this.#entries.get(idOf(element));
      if (entry?.element.value === element.value) {
        entry.owners.add(owner);
        continue;
      }
      if (entry) deleted.push(entry.element);
      this.#entries.set(idOf(element), { element, owners: new Set([...(entry?.owners ?? []), owner]) });
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
}

function idOf({ set, key }: Element): string {
  return `${set} ${key}`;
}
