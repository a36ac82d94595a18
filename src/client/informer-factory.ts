/**
 * One informer per resource and selection, shared by all parts of a process: what ten controllers look at is listed, watched and kept once.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "./client.ts";
import type { Informer } from "./informer.ts";
import { createInformer } from "./reflector.ts";
import type { InformerSelection, OwnedInformer } from "./reflector.ts";

/** Gives out shared informers. */
export interface InformerFactory extends Service {
  /** The informer of this selection; made, and started if the factory is, when first asked for. Indexes of later askers are added. */
  informer<T extends KubeObject>(selection: InformerSelection<T>): Informer<T>;
  /** The informer over all objects of the resource with all their fields, if somebody asked for it. */
  find<T extends KubeObject>(resource: GroupVersionResource): Informer<T> | undefined;
  /** Stops and forgets the informer of this selection: for resources that went away. */
  release(selection: InformerSelection): Promise<void>;
  /** Has all informers that wait for the server try again at once: for who knows that it is back. */
  retryNow(): void;
  /** Resolves when all informers asked for so far have their first list. */
  waitForSync(signal: AbortSignal): Promise<void>;
}

/** What informers are made with. */
export type InformerFactoryOptions = {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For informers that say none themselves: see {@link InformerSelection.transform}. */
  readonly transform?: <T extends KubeObject>(object: T) => T;
};

/** Makes a factory. `start` starts all informers and resolves at once. */
export function createInformerFactory(options: InformerFactoryOptions): InformerFactory {
  return new SharedInformers(options);
}

/** The object without managedFields, a third of it: who writes it back without them changes nothing of them. As upstream's controllers and scheduler. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  if (object.metadata?.managedFields === undefined) return object;
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  return Object.freeze({ ...object, metadata: Object.freeze(metadata) });
}

class SharedInformers implements InformerFactory {
  readonly #options: InformerFactoryOptions;
  readonly #informers = new Map<string, OwnedInformer<KubeObject>>();
  #signal: AbortSignal | undefined;

  constructor(options: InformerFactoryOptions) {
    this.#options = options;
  }

  informer<T extends KubeObject>(selection: InformerSelection<T>): Informer<T> {
    const key = selectionKey(selection);
    const shared = this.#informers.get(key) as OwnedInformer<T> | undefined;
    if (shared !== undefined) {
      for (const [name, keysOf] of Object.entries(selection.indexes ?? {})) shared.addIndex(name, keysOf);
      return shared;
    }
    const made = createInformer<T>({ ...this.#options, ...selection });
    this.#informers.set(key, made as unknown as OwnedInformer<KubeObject>);
    // Resolves at once: the informer's own loop reports its failures.
    if (this.#signal !== undefined) void made.start(this.#signal);
    return made;
  }

  find<T extends KubeObject>(resource: GroupVersionResource): Informer<T> | undefined {
    return this.#informers.get(selectionKey({ resource })) as unknown as Informer<T> | undefined;
  }

  async release(selection: InformerSelection): Promise<void> {
    const key = selectionKey(selection);
    const informer = this.#informers.get(key);
    this.#informers.delete(key);
    await informer?.stop();
  }

  retryNow(): void {
    for (const informer of this.#informers.values()) informer.retryNow();
  }

  async waitForSync(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.waitForSync(signal)));
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await Promise.all([...this.#informers.values()].map((informer) => informer.start(signal)));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.stop()));
    this.#informers.clear();
  }
}

function selectionKey(selection: Omit<InformerSelection, "transform" | "indexes">): string {
  const { resource, namespace, labelSelector, fieldSelector, metadataOnly } = selection;
  const { group, version, resource: plural } = resource;
  return JSON.stringify([group, version, plural, namespace, labelSelector, fieldSelector, metadataOnly ?? false]);
}
