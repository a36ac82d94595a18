/**
 * What an ObjectSource has told of: the etag of each key, kept where it survives the process, for one folder or bucket. When the source is about another one, what was known of the one before is forgotten without a word.
 */
import type { SourcePlaces } from "./adapter-context.ts";

/** First part of the names of all these places. */
export const objectPlacePrefix = "object";

/** Keys and what was known of them. */
export class ObjectPlaces {
  readonly #places: SourcePlaces;
  readonly #prefix: string;
  readonly #keys: Set<string>;

  /** `scope` says which folder or bucket of whose it is. */
  constructor(places: SourcePlaces, uid: string, scope: string) {
    this.#places = places;
    this.#prefix = `${objectPlacePrefix}/${uid}/`;
    const names = places.keys().filter((name) => name.startsWith(this.#prefix));
    this.#keys = new Set(names.map((name) => name.slice(this.#prefix.length)));
    // No file has the empty name.
    this.#keys.delete("");
    const before = this.get("");
    if (before === scope) return;
    if (before !== undefined) for (const key of this.#keys) this.delete(key);
    places.set(this.#prefix, Buffer.from(scope));
  }

  /** Those that were told of. */
  keys(): readonly string[] {
    return [...this.#keys];
  }

  get size(): number {
    return this.#keys.size;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  get(key: string): string | undefined {
    const bytes = this.#places.get(this.#prefix + key);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString();
  }

  set(key: string, value: string): void {
    this.#places.set(this.#prefix + key, Buffer.from(value));
    this.#keys.add(key);
  }

  delete(key: string): void {
    this.#places.delete(this.#prefix + key);
    this.#keys.delete(key);
  }

  async flush(): Promise<void> {
    await this.#places.flush();
  }
}
