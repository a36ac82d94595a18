/**
 * What an administrator may choose about functions: the ConfigMap `config-functions` of namespace nodeless-functions. None need exist. One that makes no sense changes nothing but a line in the log.
 */
import { quantityValue } from "#apimachinery/quantity.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Logger } from "#component-base/logger.ts";
import { type BuildBounds, defaultBounds, defaultDockerfileBounds } from "#functions/build/build-process.ts";
import type { BaseImages } from "#functions/build/job.ts";
import { defaultMostSourceBytes } from "#functions/source/source-bounds.ts";
import { ConfigMapStore } from "#knative/config-store.ts";

/** Where the ConfigMap is. */
export const functionsNamespace = "nodeless-functions";
const configName = "config-functions";

export type FunctionsConfig = {
  readonly bases: BaseImages;
  readonly bounds: BuildBounds;
  /** Of folders with a Dockerfile. */
  readonly dockerfileBounds: BuildBounds;
  readonly mostSourceBytes: number;
};

export const defaultFunctionsConfig: FunctionsConfig = {
  bases: { node: "docker.io/library/node:24-slim", python: "docker.io/library/python:3-slim" },
  bounds: defaultBounds,
  dockerfileBounds: defaultDockerfileBounds,
  mostSourceBytes: defaultMostSourceBytes,
};

/** Reads the ConfigMap's keys: node-image, python-image, build-timeout-seconds, build-memory, build-output, most-source, dockerfile-timeout-seconds, dockerfile-memory. Throws RangeError. */
export function parseFunctionsConfig(data: Readonly<Record<string, string>> = {}): FunctionsConfig {
  const { bases, bounds, dockerfileBounds, mostSourceBytes } = defaultFunctionsConfig;
  const amount = (key: string, fallback: number) => (data[key] === undefined ? fallback : amountOf(key, data[key]));
  const outputBytes = amount("build-output", bounds.outputBytes);
  return {
    bases: { node: data["node-image"] ?? bases.node, python: data["python-image"] ?? bases.python },
    bounds: {
      timeoutMs: amount("build-timeout-seconds", bounds.timeoutMs / 1000) * 1000,
      memoryBytes: amount("build-memory", bounds.memoryBytes),
      outputBytes,
    },
    dockerfileBounds: {
      timeoutMs: amount("dockerfile-timeout-seconds", dockerfileBounds.timeoutMs / 1000) * 1000,
      memoryBytes: amount("dockerfile-memory", dockerfileBounds.memoryBytes),
      outputBytes,
    },
    mostSourceBytes: amount("most-source", mostSourceBytes),
  };
}

function amountOf(key: string, text: string): number {
  const amount = quantityValue(text);
  if (!(amount > 0)) throw new RangeError(`${key} must be more than nothing, not ${JSON.stringify(text)}`);
  return amount;
}

/** The configuration of the moment. */
export function createFunctionsConfigStore(
  informers: InformerFactory,
  logger: Logger,
): ConfigMapStore<FunctionsConfig> {
  return new ConfigMapStore({
    informers,
    logger,
    namespace: functionsNamespace,
    initial: defaultFunctionsConfig,
    parse: (name, data) => (name === configName ? parseFunctionsConfig(data) : undefined),
  });
}
