/**
 * The smaller ConfigMaps: `config-gc`, `config-deployment`, `config-domain`, `config-network`. Keys and defaults as upstream's v1.23, but for the domain: names under
 * `.localhost` lead to this machine in every browser and in curl without any DNS.
 */
import { type ConfigData, ConfigError, ConfigText } from "#knative/config-text.ts";

/** Which revisions may go. -1 means never, by that rule. */
export type GcConfig = {
  readonly retainSinceCreateTimeMs: number;
  readonly retainSinceLastActiveTimeMs: number;
  readonly minNonActiveRevisions: number;
  readonly maxNonActiveRevisions: number;
};

/** Never, or without end. */
export const disabled = -1;

export const defaultGcConfig: GcConfig = {
  retainSinceCreateTimeMs: 48 * 3_600_000,
  retainSinceLastActiveTimeMs: 15 * 3_600_000,
  minNonActiveRevisions: 20,
  maxNonActiveRevisions: 1000,
};

export function parseGcConfig(data: ConfigData | undefined): GcConfig {
  const text = new ConfigText(data);
  const isDisabled = (key: string) => data?.[key]?.toLowerCase() === "disabled";
  const duration = (key: string, fallbackMs: number) => (isDisabled(key) ? disabled : text.durationMs(key, fallbackMs));
  const config: GcConfig = {
    retainSinceCreateTimeMs: duration("retain-since-create-time", defaultGcConfig.retainSinceCreateTimeMs),
    retainSinceLastActiveTimeMs: duration("retain-since-last-active-time", defaultGcConfig.retainSinceLastActiveTimeMs),
    minNonActiveRevisions: text.integer("min-non-active-revisions", defaultGcConfig.minNonActiveRevisions),
    maxNonActiveRevisions: isDisabled("max-non-active-revisions")
      ? disabled
      : text.integer("max-non-active-revisions", defaultGcConfig.maxNonActiveRevisions),
  };
  const { minNonActiveRevisions: min, maxNonActiveRevisions: max } = config;
  if (min < 0) throw new ConfigError(`min-non-active-revisions must be non-negative, was: ${min}`);
  if (max >= 0 && max < min)
    throw new ConfigError(`min-non-active-revisions(${min}) must be <= max-non-active-revisions(${max})`);
  return config;
}

/** How revisions become Deployments. */
export type DeploymentConfig = {
  readonly registriesSkippingTagResolving: readonly string[];
  readonly digestResolutionTimeoutMs: number;
  readonly progressDeadlineMs: number;
};

export const defaultDeploymentConfig: DeploymentConfig = {
  registriesSkippingTagResolving: ["kind.local", "ko.local", "dev.local"],
  digestResolutionTimeoutMs: 10_000,
  progressDeadlineMs: 600_000,
};

export function parseDeploymentConfig(data: ConfigData | undefined): DeploymentConfig {
  const text = new ConfigText(data);
  const base = defaultDeploymentConfig;
  const config: DeploymentConfig = {
    registriesSkippingTagResolving: text.words(
      "registries-skipping-tag-resolving",
      base.registriesSkippingTagResolving,
    ),
    digestResolutionTimeoutMs: text.durationMs("digest-resolution-timeout", base.digestResolutionTimeoutMs),
    progressDeadlineMs: text.durationMs("progress-deadline", base.progressDeadlineMs),
  };
  if (config.progressDeadlineMs <= 0)
    throw new ConfigError(`progress-deadline cannot be a non-positive duration, was ${data?.["progress-deadline"]}`);
  if (config.progressDeadlineMs % 1000 !== 0)
    throw new ConfigError(`progress-deadline must be rounded to a whole second, was: ${data?.["progress-deadline"]}`);
  if (config.digestResolutionTimeoutMs <= 0)
    throw new ConfigError(
      `digest-resolution-timeout cannot be a non-positive duration, was ${data?.["digest-resolution-timeout"]}`,
    );
  return config;
}

/** Under which domain routes live, by the first selector that matches a route's labels. */
export type DomainConfig = {
  readonly domains: readonly { readonly domain: string; readonly selector: Readonly<Record<string, string>> }[];
};

export const defaultDomain = "localhost";
export const defaultDomainConfig: DomainConfig = { domains: [{ domain: defaultDomain, selector: {} }] };

/** Each key is a domain; its value is YAML with `selector:` and labels, or empty for the default. */
export function parseDomainConfig(data: ConfigData | undefined): DomainConfig {
  const domains = Object.entries(data ?? {})
    .filter(([key]) => key !== "_example")
    .map(([domain, text]) => ({ domain, selector: parseSelector(domain, text) }));
  const hasDefault = domains.some(({ selector }) => Object.keys(selector).length === 0);
  return { domains: hasDefault ? domains : [...domains, ...defaultDomainConfig.domains] };
}

// A selector is a flat map, so its YAML is lines of "key: value" under "selector:"; a parser for all of YAML is not worth loading here.
function parseSelector(domain: string, text: string): Readonly<Record<string, string>> {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.trim().startsWith("#"));
  if (lines.length === 0) return {};
  if (lines[0]?.trim() !== "selector:") throw new ConfigError(`failed to parse "${domain}": expected a selector`);
  const entries = lines.slice(1).map((line) => {
    const match = /^\s+"?([^":\s]+)"?\s*:\s*"?([^"\s]*)"?\s*$/.exec(line);
    if (match === null) throw new ConfigError(`failed to parse "${domain}": "${line.trim()}" is no label`);
    return [match[1] ?? "", match[2] ?? ""] as const;
  });
  return Object.fromEntries(entries);
}

/** The domain of a route with these labels: the one whose selector asks for most and is met. */
export function domainFor(config: DomainConfig, labels: Readonly<Record<string, string>> | undefined): string {
  const matching = config.domains
    .filter(({ selector }) => Object.entries(selector).every(([key, value]) => labels?.[key] === value))
    .toSorted(
      (a, b) => Object.keys(b.selector).length - Object.keys(a.selector).length || (a.domain < b.domain ? -1 : 1),
    );
  return matching[0]?.domain ?? defaultDomain;
}

/** How hosts of routes are made. */
export type NetworkConfig = {
  readonly rolloutDurationSecs: number;
  readonly autocreateClusterDomainClaims: boolean;
  readonly domainTemplate: string;
  readonly tagTemplate: string;
  /** What becomes of requests without TLS for hosts that have a certificate. */
  readonly httpOption: HttpOption;
};

/** As an Ingress of networking.internal.knative.dev has it. */
export type HttpOption = "Enabled" | "Redirected";

/** Values of `http-protocol`, in the ConfigMap and in an object's annotation. */
const httpOptions: ReadonlyMap<string, HttpOption> = new Map([
  ["enabled", "Enabled"],
  ["redirected", "Redirected"],
]);

/** What an object's annotation asks for; throws {@link ConfigError} when it says something else. */
export function httpOptionOf(text: string): HttpOption {
  const option = httpOptions.get(text.toLowerCase());
  if (option === undefined)
    throw new ConfigError(`incorrect http-protocol ${JSON.stringify(text)}: it must be "enabled" or "redirected"`);
  return option;
}

export const defaultNetworkConfig: NetworkConfig = {
  rolloutDurationSecs: 0,
  autocreateClusterDomainClaims: true,
  domainTemplate: "{{.Name}}.{{.Namespace}}.{{.Domain}}",
  tagTemplate: "{{.Tag}}-{{.Name}}",
  httpOption: "Enabled",
};

export function parseNetworkConfig(data: ConfigData | undefined): NetworkConfig {
  const text = new ConfigText(data);
  const base = defaultNetworkConfig;
  const rolloutDurationSecs = text.integer("rollout-duration", base.rolloutDurationSecs);
  if (rolloutDurationSecs < 0)
    throw new ConfigError(`rollout-duration must be a positive integer, but was ${rolloutDurationSecs}`);
  return {
    rolloutDurationSecs,
    autocreateClusterDomainClaims: text.bool("autocreate-cluster-domain-claims", base.autocreateClusterDomainClaims),
    domainTemplate: template(text, "domain-template", base.domainTemplate),
    tagTemplate: template(text, "tag-template", base.tagTemplate),
    httpOption: httpOptionOf(text.text("http-protocol", "enabled")),
  };
}

function template(text: ConfigText, key: string, fallback: string): string {
  const given = text.text(key, fallback);
  const rest = given.replace(/\{\{\s*\.(?:Name|Namespace|Domain|Tag)\s*\}\}/g, "");
  if (rest.includes("{{") || /[^A-Za-z0-9.-]/.test(rest))
    throw new ConfigError(
      `failed to parse "${key}": only {{.Name}}, {{.Namespace}}, {{.Domain}} and {{.Tag}} are known`,
    );
  return given;
}

/** Fills {@link NetworkConfig}'s templates. */
export function fillTemplate(given: string, fields: Readonly<Record<string, string>>): string {
  return given.replace(/\{\{\s*\.(\w+)\s*\}\}/g, (_all, field: string) => fields[field] ?? "");
}
