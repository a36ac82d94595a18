/**
 * ConfigMap `config-br-defaults`: class, configuration and delivery of Brokers that do not say. Form and rules as upstream's `pkg/apis/config/defaults.go` (v1.22).
 */
import type { DeliverySpec } from "#eventing/kinds.ts";
import { brokerClass, eventingNamespace } from "#eventing/names.ts";
import type { KReference } from "#knative/destination.ts";
import { type ConfigData, ConfigError } from "#knative/config-text.ts";
import { parseYamlEntry } from "./yaml-entry.ts";

/** What a Broker of some class gets. */
export type BrokerDefaults = { readonly config?: KReference; readonly delivery?: DeliverySpec };

type Scope = {
  readonly brokerClass?: string;
  readonly defaults?: BrokerDefaults;
  readonly classes: ReadonlyMap<string, BrokerDefaults>;
  readonly disallowsOtherNamespaces: boolean;
};

export type BrokerDefaultsConfig = { readonly cluster?: Scope; readonly namespaces: ReadonlyMap<string, Scope> };

const entryKey = "default-br-config";

/** What holds without a ConfigMap: what upstream installs. */
export const defaultBrokerDefaults: BrokerDefaultsConfig = {
  cluster: {
    brokerClass,
    defaults: {
      config: {
        apiVersion: "v1",
        kind: "ConfigMap",
        name: "config-br-default-channel",
        namespace: eventingNamespace,
      },
      delivery: { retry: 10, backoffPolicy: "exponential", backoffDelay: "PT0.2S" },
    },
    classes: new Map(),
    disallowsOtherNamespaces: false,
  },
  namespaces: new Map(),
};

/** Reads the ConfigMap. Throws {@link ConfigError}. */
export function parseBrokerDefaults(data: ConfigData | undefined): BrokerDefaultsConfig {
  if (data === undefined) return defaultBrokerDefaults;
  const entry = data[entryKey];
  if (!entry) throw new ConfigError(`ConfigMap is missing (or empty) key: "${entryKey}"`);
  const { clusterDefault, namespaceDefaults } = parseYamlEntry(entryKey, entry);
  return {
    ...(isMapping(clusterDefault) ? { cluster: scopeOf(clusterDefault) } : {}),
    namespaces: mapOf(namespaceDefaults, scopeOf),
  };
}

/** What a Broker of a namespace gets; of its class, when there is something for that. Undefined: nothing. */
export function findBrokerDefaults(
  { cluster, namespaces }: BrokerDefaultsConfig,
  namespace: string,
  wantedClass: string,
): BrokerDefaults | undefined {
  const scope = namespaces.get(namespace);
  const ofClass = wantedClass || (scope?.brokerClass ?? "");
  const found =
    ofClass === ""
      ? undefined
      : (scope?.classes.get(ofClass) ?? (scope?.brokerClass === ofClass ? scope.defaults : undefined));
  return found ?? cluster?.classes.get(ofClass || (cluster.brokerClass ?? "")) ?? cluster?.defaults;
}

/** The class of Brokers of a namespace that say none. */
export function findBrokerClass({ cluster, namespaces }: BrokerDefaultsConfig, namespace: string): string | undefined {
  return namespaces.get(namespace)?.brokerClass || cluster?.brokerClass || undefined;
}

/** True when Brokers of the namespace may be configured by an object of another one. */
export function mayConfigElsewhere({ cluster, namespaces }: BrokerDefaultsConfig, namespace: string): boolean {
  const isDisallowed = namespaces.get(namespace)?.disallowsOtherNamespaces || cluster?.disallowsOtherNamespaces;
  return !isDisallowed;
}

function scopeOf(entry: Readonly<Record<string, unknown>>): Scope {
  const { brokerClass: name, brokerClasses, disallowDifferentNamespaceConfig } = entry;
  const defaults = defaultsOf(entry);
  return {
    ...(typeof name === "string" ? { brokerClass: name } : {}),
    ...(Object.keys(defaults).length === 0 ? {} : { defaults }),
    classes: mapOf(brokerClasses, defaultsOf),
    disallowsOtherNamespaces: disallowDifferentNamespaceConfig === true,
  };
}

function defaultsOf(entry: Readonly<Record<string, unknown>>): BrokerDefaults {
  const config: Record<string, string> = {};
  for (const key of ["apiVersion", "kind", "name", "namespace"] as const) {
    const value = entry[key];
    if (typeof value === "string") config[key] = value;
  }
  const { delivery } = entry;
  return {
    ...(Object.keys(config).length === 0 ? {} : { config }),
    ...(isMapping(delivery) ? { delivery: delivery as DeliverySpec } : {}),
  };
}

function mapOf<T>(value: unknown, make: (entry: Readonly<Record<string, unknown>>) => T): ReadonlyMap<string, T> {
  if (!isMapping(value)) return new Map();
  return new Map(
    Object.entries(value).flatMap(([key, entry]) => (isMapping(entry) ? [[key, make(entry)] as const] : [])),
  );
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
