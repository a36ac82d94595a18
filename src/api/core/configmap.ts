/**
 * ConfigMaps: text and bytes under keys; one that is immutable stays as it is. As pkg/registry/core/configmap/strategy.go.
 */
import type { ConfigMap } from "#api/generated/types/core-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateConfigMap, validateConfigMapSize, validateConfigMapUpdate } from "./validation/keyed-data.ts";

// Upstream defaults data to an empty map, which omitempty then hides: nothing to do.
export const configMapStrategy: KindStrategy<ConfigMap> = {
  validateSize: validateConfigMapSize,
  validate: validateConfigMap,
  validateUpdate: validateConfigMapUpdate,
};
