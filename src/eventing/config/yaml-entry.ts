/**
 * Entries of ConfigMaps that hold YAML.
 */
import { parse } from "yaml";
import { ConfigError } from "#knative/config-text.ts";

/** The mapping that the text holds. Throws {@link ConfigError}. */
export function parseYamlEntry(key: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw new ConfigError(`Failed to parse the entry: ${key}: ${error instanceof Error ? error.message : ""}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ConfigError(`Failed to parse the entry: ${key} is no mapping`);
  return value as Readonly<Record<string, unknown>>;
}
