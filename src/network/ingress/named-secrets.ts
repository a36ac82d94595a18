/**
 * Secrets by name, each watched by itself: whoever may read these few need not be allowed to read all.
 */
import type { Secret } from "#api/generated/types/core-v1.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import { splitKey } from "#client/object-store.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Followed } from "./followed.ts";

const secrets = { group: "", version: "v1", resource: "secrets" };
/** The right to read a Secret comes a moment after the Ingress that names it. */
const patienceMs = 1000;

type Watched = { readonly informer: Informer<Secret>; readonly leave: () => void };

/** Keys are "namespace/name". */
export class NamedSecrets implements Followed<Secret> {
  readonly #informers: InformerFactory;
  readonly #clock: Clock;
  readonly #watched = new Map<string, Watched>();
  readonly #listeners = new Set<(key: string) => void>();

  constructor(options: { readonly informers: InformerFactory; readonly clock: Clock }) {
    this.#informers = options.informers;
    this.#clock = options.clock;
  }

  want(keys: ReadonlySet<string>): void {
    for (const [key, { leave }] of this.#watched) {
      if (keys.has(key)) continue;
      leave();
      this.#watched.delete(key);
    }
    for (const key of keys) if (!this.#watched.has(key)) this.#watched.set(key, this.#watch(key));
  }

  find(key: string): Secret | undefined {
    const { namespace, name } = splitKey(key);
    return this.#watched.get(key)?.informer.lister.find(namespace, name);
  }

  async settled(signal: AbortSignal): Promise<void> {
    const synced = [...this.#watched.values()].map(({ informer }) => informer.waitForSync(signal));
    await Promise.race([Promise.all(synced), this.#clock.sleep(patienceMs, signal)]);
  }

  onChange(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #watch(key: string): Watched {
    const { namespace, name } = splitKey(key);
    const selection = { resource: secrets, namespace, fieldSelector: `metadata.name=${name}` };
    const informer = this.#informers.informer<Secret>(selection);
    const tell = () => {
      for (const listener of this.#listeners) listener(key);
    };
    const removeHandler = informer.addHandler({ onAdd: tell, onUpdate: tell, onDelete: tell });
    const leave = () => {
      removeHandler();
      void this.#informers.release(selection); // never rejects
    };
    return { informer, leave };
  }
}
