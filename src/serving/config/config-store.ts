/**
 * Serving's configuration as it is now: the ConfigMaps of namespace knative-serving, read when they change. One that makes no sense changes nothing but a line in the log.
 */
import type { ConfigMap } from "#api/generated/types/core-v1.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Logger } from "#component-base/logger.ts";
import { servingNamespace } from "#serving/names.ts";
import { type AutoscalerConfig, parseAutoscalerConfig } from "./autoscaler-config.ts";
import type { ConfigData } from "./config-text.ts";
import { type DefaultsConfig, parseDefaultsConfig } from "./defaults-config.ts";
import { type FeaturesConfig, parseFeaturesConfig } from "./features-config.ts";
import {
  type DeploymentConfig,
  type DomainConfig,
  type GcConfig,
  type NetworkConfig,
  parseDeploymentConfig,
  parseDomainConfig,
  parseGcConfig,
  parseNetworkConfig,
} from "./other-configs.ts";

/** All of it. */
export type ServingConfig = {
  readonly autoscaler: AutoscalerConfig;
  readonly defaults: DefaultsConfig;
  readonly deployment: DeploymentConfig;
  readonly domain: DomainConfig;
  readonly features: FeaturesConfig;
  readonly gc: GcConfig;
  readonly network: NetworkConfig;
};

const parsers: { readonly [K in keyof ServingConfig]: (data: ConfigData | undefined) => ServingConfig[K] } = {
  autoscaler: parseAutoscalerConfig,
  defaults: parseDefaultsConfig,
  deployment: parseDeploymentConfig,
  domain: parseDomainConfig,
  features: parseFeaturesConfig,
  gc: parseGcConfig,
  network: parseNetworkConfig,
};

/** What holds without any ConfigMap. */
export function defaultServingConfig(): ServingConfig {
  return Object.fromEntries(Object.entries(parsers).map(([name, parse]) => [name, parse(undefined)])) as ServingConfig;
}

/** Reads one ConfigMap by its name; undefined when it is none of Serving's. Throws {@link ConfigError}. */
export function parseConfigMap(name: string, data: ConfigData | undefined): Partial<ServingConfig> | undefined {
  if (!name.startsWith("config-")) return undefined;
  const part = name.slice("config-".length);
  return Object.hasOwn(parsers, part) ? { [part]: parsers[part as keyof ServingConfig](data) } : undefined;
}

/** Gives the configuration of the moment. */
export class ConfigStore {
  readonly informer: Informer<ConfigMap>;
  readonly #logger: Logger;
  readonly #listeners: (() => void)[] = [];
  #current: ServingConfig = defaultServingConfig();

  constructor(informers: InformerFactory, logger: Logger) {
    this.#logger = logger;
    const resource = { group: "", version: "v1", resource: "configmaps" };
    this.informer = informers.informer<ConfigMap>({ resource, namespace: servingNamespace });
  }

  get current(): ServingConfig {
    return this.#current;
  }

  /** Calls back whenever the configuration has changed. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Reads all that is there and follows it; gives what ends that. */
  start(): () => void {
    return this.informer.addHandler({
      onAdd: (map) => this.#read(map.metadata?.name ?? "", map.data),
      onUpdate: (_before, map) => this.#read(map.metadata?.name ?? "", map.data),
      onDelete: (map) => this.#read(map.metadata?.name ?? "", undefined),
    });
  }

  #read(name: string, data: ConfigData | undefined): void {
    try {
      const part = parseConfigMap(name, data);
      if (part === undefined) return;
      this.#current = { ...this.#current, ...part };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#logger.warn("Ignored ConfigMap", { configMap: `${servingNamespace}/${name}`, error: why });
      return;
    }
    for (const listener of this.#listeners) listener();
  }
}
