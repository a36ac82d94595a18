/**
 * ConfigMap `default-ch-webhook`: the kind of channels that do not say. Form as upstream's `pkg/apis/messaging/config` (v1.22).
 */
import type { ChannelTemplate } from "#eventing/kinds.ts";
import { messagingGroup } from "#eventing/names.ts";
import { type ConfigData, ConfigError } from "#knative/config-text.ts";
import { parseYamlEntry } from "./yaml-entry.ts";

export type ChannelDefaultsConfig = {
  readonly cluster?: ChannelTemplate;
  readonly namespaces: ReadonlyMap<string, ChannelTemplate>;
};

const entryKey = "default-ch-config";

/** What holds without a ConfigMap. */
export const defaultChannelDefaults: ChannelDefaultsConfig = {
  cluster: { apiVersion: `${messagingGroup}/v1`, kind: "InMemoryChannel" },
  namespaces: new Map(),
};

/** Reads the ConfigMap. Throws {@link ConfigError}. */
export function parseChannelDefaults(data: ConfigData | undefined): ChannelDefaultsConfig {
  if (data === undefined) return defaultChannelDefaults;
  const entry = data[entryKey];
  if (!entry) throw new ConfigError(`ConfigMap is missing (or empty) key: "${entryKey}"`);
  const { clusterDefault, namespaceDefaults } = parseYamlEntry(entryKey, entry);
  return {
    ...(clusterDefault ? { cluster: clusterDefault as ChannelTemplate } : {}),
    namespaces: new Map(Object.entries((namespaceDefaults ?? {}) as Readonly<Record<string, ChannelTemplate>>)),
  };
}

/** The template for channels of a namespace. */
export function findChannelTemplate(
  { cluster, namespaces }: ChannelDefaultsConfig,
  namespace: string,
): ChannelTemplate | undefined {
  return namespaces.get(namespace) ?? cluster;
}
