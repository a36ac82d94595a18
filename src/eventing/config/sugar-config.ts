/**
 * ConfigMap `config-sugar`: for which namespaces and Triggers Brokers are made that they lack. As upstream's `pkg/apis/sugar` (v1.22): nothing by default.
 */
import type { LabelSelector } from "#api/generated/types/meta-v1.ts";
import type { ConfigData } from "#knative/config-text.ts";
import { parseYamlEntry } from "./yaml-entry.ts";

export type SugarConfig = { readonly namespaces?: LabelSelector; readonly triggers?: LabelSelector };

/** Reads the ConfigMap. Throws {@link ConfigError}. */
export function parseSugarConfig(data: ConfigData | undefined): SugarConfig {
  const selector = (key: string): LabelSelector | undefined => {
    const text = data?.[key];
    return text ? (parseYamlEntry(key, text) as LabelSelector) : undefined;
  };
  const [namespaces, triggers] = [selector("namespace-selector"), selector("trigger-selector")];
  return { ...(namespaces === undefined ? {} : { namespaces }), ...(triggers === undefined ? {} : { triggers }) };
}
