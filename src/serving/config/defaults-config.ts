/**
 * ConfigMap `config-defaults`: what a revision gets that does not say. Keys, defaults and bounds as upstream's `pkg/apis/config/defaults.go` (v1.23).
 */
import { type ConfigData, ConfigError, ConfigText } from "#knative/config-text.ts";

/** Defaults of revisions. Quantities are absent where nothing is to be set. */
export type DefaultsConfig = {
  readonly revisionTimeoutSeconds: number;
  readonly maxRevisionTimeoutSeconds: number;
  readonly revisionResponseStartTimeoutSeconds: number;
  readonly revisionIdleTimeoutSeconds: number;
  readonly containerConcurrency: number;
  readonly containerConcurrencyMaxLimit: number;
  readonly allowContainerConcurrencyZero: boolean;
  /** Undefined leaves it to Kubernetes' default. */
  readonly enableServiceLinks: boolean | undefined;
  readonly userContainerNameTemplate: string;
  readonly initContainerNameTemplate: string;
  /** By resource: "cpu", "memory", "ephemeral-storage". */
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
};

/** What holds without a ConfigMap. */
export const defaultDefaultsConfig: DefaultsConfig = {
  revisionTimeoutSeconds: 300,
  maxRevisionTimeoutSeconds: 600,
  revisionResponseStartTimeoutSeconds: 300,
  revisionIdleTimeoutSeconds: 0,
  containerConcurrency: 0,
  containerConcurrencyMaxLimit: 1000,
  allowContainerConcurrencyZero: true,
  enableServiceLinks: false,
  userContainerNameTemplate: "user-container",
  initContainerNameTemplate: "init-container",
  requests: {},
  limits: {},
};

/** Reads the ConfigMap. Throws {@link ConfigError}. */
export function parseDefaultsConfig(data: ConfigData | undefined): DefaultsConfig {
  const text = new ConfigText(data);
  const base = defaultDefaultsConfig;
  const revisionTimeoutSeconds = text.integer("revision-timeout-seconds", base.revisionTimeoutSeconds);
  const config: DefaultsConfig = {
    revisionTimeoutSeconds,
    maxRevisionTimeoutSeconds: text.integer("max-revision-timeout-seconds", base.maxRevisionTimeoutSeconds),
    revisionResponseStartTimeoutSeconds: text.integer(
      "revision-response-start-timeout-seconds",
      revisionTimeoutSeconds,
    ),
    revisionIdleTimeoutSeconds: text.integer("revision-idle-timeout-seconds", base.revisionIdleTimeoutSeconds),
    containerConcurrency: text.integer("container-concurrency", base.containerConcurrency),
    containerConcurrencyMaxLimit: text.integer("container-concurrency-max-limit", base.containerConcurrencyMaxLimit),
    allowContainerConcurrencyZero: text.bool("allow-container-concurrency-zero", base.allowContainerConcurrencyZero),
    enableServiceLinks: text.triState("enable-service-links", base.enableServiceLinks),
    userContainerNameTemplate: text.text("container-name-template", base.userContainerNameTemplate),
    initContainerNameTemplate: text.text("init-container-name-template", base.initContainerNameTemplate),
    requests: quantities(text, "request"),
    limits: quantities(text, "limit"),
  };
  const problem = problemOf(config);
  if (problem !== undefined) throw new ConfigError(problem);
  return config;
}

function quantities(text: ConfigText, what: "request" | "limit"): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const resource of ["cpu", "memory", "ephemeral-storage"]) {
    const quantity = text.quantity(`revision-${resource}-${what}`);
    if (quantity !== undefined) found[resource] = quantity;
  }
  return found;
}

function problemOf(config: DefaultsConfig): string | undefined {
  const timeout = config.revisionTimeoutSeconds;
  const start = config.revisionResponseStartTimeoutSeconds;
  const idle = config.revisionIdleTimeoutSeconds;
  const { containerConcurrency, containerConcurrencyMaxLimit: limit } = config;
  if (timeout > config.maxRevisionTimeoutSeconds)
    return `revision-timeout-seconds (${timeout}) cannot be greater than max-revision-timeout-seconds (${config.maxRevisionTimeoutSeconds})`;
  if (start > 0 && start > timeout)
    return `revision-response-start-timeout-seconds (${start}) cannot be greater than revision-timeout-seconds (${timeout})`;
  if (idle > 0 && idle > timeout)
    return `revision-idle-timeout-seconds (${idle}) cannot be greater than revision-timeout-seconds (${timeout})`;
  if (limit < 1) return `expected 1 <= ${limit} <= 2147483647: container-concurrency-max-limit`;
  if (containerConcurrency < 0 || containerConcurrency > limit)
    return `expected 0 <= ${containerConcurrency} <= ${limit}: container-concurrency`;
  return undefined;
}

/** Fills a name template: upstream's are Go templates, of which `{{.Name}}`, `{{.Namespace}}` and `{{.GenerateName}}` can name something here. */
export function fillNameTemplate(
  template: string,
  meta: { readonly name?: string; readonly namespace?: string; readonly generateName?: string } | undefined,
): string {
  const fields: Readonly<Record<string, string | undefined>> = {
    Name: meta?.name,
    Namespace: meta?.namespace,
    GenerateName: meta?.generateName,
  };
  return template.replace(/\{\{\s*\.(\w+)\s*\}\}/g, (_all, field: string) => fields[field] ?? "");
}
