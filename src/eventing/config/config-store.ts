/**
 * Eventing's configuration as it is now: the ConfigMaps of namespace knative-eventing. None need exist; what holds then is what upstream installs.
 */
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Logger } from "#component-base/logger.ts";
import { eventingNamespace } from "#eventing/names.ts";
import { ConfigMapStore } from "#knative/config-store.ts";
import type { ConfigData } from "#knative/config-text.ts";
import { type BrokerDefaultsConfig, defaultBrokerDefaults, parseBrokerDefaults } from "./broker-defaults-config.ts";
import { type ChannelDefaultsConfig, defaultChannelDefaults, parseChannelDefaults } from "./channel-defaults-config.ts";
import { defaultFeaturesConfig, type FeaturesConfig, parseFeaturesConfig } from "./features-config.ts";
import { parseSugarConfig, type SugarConfig } from "./sugar-config.ts";

/** All of it. */
export type EventingConfig = {
  readonly brokerDefaults: BrokerDefaultsConfig;
  readonly channelDefaults: ChannelDefaultsConfig;
  readonly features: FeaturesConfig;
  readonly sugar: SugarConfig;
};

/** What holds without any ConfigMap. */
export const defaultEventingConfig: EventingConfig = {
  brokerDefaults: defaultBrokerDefaults,
  channelDefaults: defaultChannelDefaults,
  features: defaultFeaturesConfig,
  sugar: {},
};

/** Reads one ConfigMap by its name; undefined when it is none of Eventing's. Throws {@link ConfigError}. */
export function parseEventingConfigMap(
  name: string,
  data: ConfigData | undefined,
): Partial<EventingConfig> | undefined {
  if (name === "config-br-defaults") return { brokerDefaults: parseBrokerDefaults(data) };
  if (name === "default-ch-webhook") return { channelDefaults: parseChannelDefaults(data) };
  if (name === "config-features") return { features: parseFeaturesConfig(data) };
  if (name === "config-sugar") return { sugar: parseSugarConfig(data) };
  return undefined;
}

/** Gives the configuration of the moment. */
export type EventingConfigStore = ConfigMapStore<EventingConfig>;

/** A store of Eventing's configuration. */
export function createEventingConfigStore(informers: InformerFactory, logger: Logger): EventingConfigStore {
  return new ConfigMapStore({
    informers,
    logger,
    namespace: eventingNamespace,
    initial: defaultEventingConfig,
    parse: parseEventingConfigMap,
  });
}
