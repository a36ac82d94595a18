/**
 * A part's configuration as it is now: the ConfigMaps of its namespace, read when they change. One that makes no sense changes nothing but a line in the log.
 */
import type { ConfigMap } from "#api/generated/types/core-v1.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ConfigData } from "./config-text.ts";

/** What it reads. */
export type ConfigMapStoreOptions<C extends object> = {
  readonly informers: InformerFactory;
  readonly logger: Logger;
  readonly namespace: string;
  /** What holds without any ConfigMap. */
  readonly initial: C;
  /** Reads one ConfigMap by its name (`data` is absent when it was deleted); undefined when it is none of the part's. Throws when it makes no sense. */
  readonly parse: (name: string, data: ConfigData | undefined) => Partial<C> | undefined;
};

/** Gives the configuration of the moment. */
export class ConfigMapStore<C extends object> {
  readonly informer: Informer<ConfigMap>;
  readonly #options: ConfigMapStoreOptions<C>;
  readonly #listeners: (() => void)[] = [];
  #current: C;

  constructor(options: ConfigMapStoreOptions<C>) {
    const { informers, namespace, initial } = options;
    this.#options = options;
    this.#current = initial;
    const resource = { group: "", version: "v1", resource: "configmaps" };
    this.informer = informers.informer<ConfigMap>({ resource, namespace });
  }

  get current(): C {
    return this.#current;
  }

  /** Calls back whenever the configuration has changed. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Reads all that is there and follows it; gives what ends that. */
  start(): () => void {
    return this.informer.addHandler({
      onAdd: (map) => this.#read(map.metadata?.name ?? "", map.data ?? {}),
      onUpdate: (_before, map) => this.#read(map.metadata?.name ?? "", map.data ?? {}),
      onDelete: (map) => this.#read(map.metadata?.name ?? "", undefined),
    });
  }

  #read(name: string, data: ConfigData | undefined): void {
    const { parse, logger, namespace } = this.#options;
    try {
      const part = parse(name, data);
      if (part === undefined) return;
      this.#current = { ...this.#current, ...part };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      logger.warn("Ignored ConfigMap", { configMap: `${namespace}/${name}`, error: why });
      return;
    }
    for (const listener of this.#listeners) listener();
  }
}
