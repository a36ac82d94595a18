/**
 * Places of sources that outlive an adapter and no process.
 */
import type { SourcePlaces } from "#eventing/sources/adapters/adapter-context.ts";

/** They keep what was set. */
export class MemoryPlaces implements SourcePlaces {
  readonly #values = new Map<string, Uint8Array>();
  get = (key: string): Uint8Array | undefined => this.#values.get(key);
  keys = (): readonly string[] => [...this.#values.keys()];
  set = (key: string, value: Uint8Array): void => void this.#values.set(key, value);
  delete = (key: string): void => void this.#values.delete(key);
  flush = async (): Promise<void> => {};
}
