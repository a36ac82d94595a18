/**
 * Secrets by name, each watched by itself: whoever may read these few need not be allowed to read all.
 */
import type { Secret } from "#api/generated/types/core-v1.ts";
import type { Client } from "./client.ts";
import { splitKey } from "./object-store.ts";
import { createInformer, type OwnedInformer } from "./reflector.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Followed } from "./followed.ts";

const secrets = { group: "", version: "v1", resource: "secrets" };
/** The right to read a Secret comes a moment after the route that names it. */
const patienceMs = 1000;

type Watched = { readonly informer: OwnedInformer<Secret>; readonly leave: () => void };

export type NamedSecretsOptions = { readonly client: Client; readonly clock: Clock; readonly logger: Logger };

/** Keys are "namespace/name". */
export class NamedSecrets implements Followed<Secret> {
  readonly #options: NamedSecretsOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #listeners = new Set<(key: string) => void>();

  constructor(options: NamedSecretsOptions) {
    this.#options = options;
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
    await Promise.race([Promise.all(synced), this.#options.clock.sleep(patienceMs, signal)]);
  }

  onChange(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #watch(key: string): Watched {
    const { namespace, name } = splitKey(key);
    const { logger } = this.#options;
    // Being refused at first is nothing to be worried about.
    const quiet: Logger = { ...logger, warn: (message, fields) => logger.debug(message, fields) };
    const selection = { resource: secrets, namespace, fieldSelector: `metadata.name=${name}` };
    const informer = createInformer<Secret>({ ...this.#options, logger: quiet, ...selection });
    const tell = () => {
      for (const listener of this.#listeners) listener(key);
    };
    const removeHandler = informer.addHandler({ onAdd: tell, onUpdate: tell, onDelete: tell });
    const leave = () => {
      removeHandler();
      void informer.stop(); // never rejects
    };
    void informer.start(new AbortController().signal); // resolves at once
    return { informer, leave };
  }
}
