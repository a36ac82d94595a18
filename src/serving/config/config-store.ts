/**
 * Serving's configuration as it is now: the ConfigMaps of namespace knative-serving.
 */
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Logger } from "#component-base/logger.ts";
import { ConfigMapStore } from "#knative/config-store.ts";
import type { ConfigData } from "#knative/config-text.ts";
import { servingNamespace } from "#serving/names.ts";
import { type AutoscalerConfig, parseAutoscalerConfig } from "./autoscaler-config.ts";
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
export type ConfigStore = ConfigMapStore<ServingConfig>;

/** A store of Serving's configuration. */
export function createConfigStore(informers: InformerFactory, logger: Logger): ConfigStore {
  return new ConfigMapStore({
    informers,
    logger,
    namespace: servingNamespace,
    initial: defaultServingConfig(),
    parse: parseConfigMap,
  });
}
