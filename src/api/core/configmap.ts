/**
 * ConfigMaps: text and bytes under keys; one that is immutable stays as it is. As pkg/registry/core/configmap/strategy.go.
 */
import type { ConfigMap } from "#api/generated/types/core-v1.ts";
import { setDefault } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";

export const configMapStrategy: KindStrategy<ConfigMap> = {
  applyDefaults: (draft) => setDefault(draft, "data", {}),
};
