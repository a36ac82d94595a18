/**
 * ServiceAccounts. As pkg/registry/core/serviceaccount/strategy.go.
 */
import type { ServiceAccount } from "#api/generated/types/core-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";

export const serviceAccountStrategy: KindStrategy<ServiceAccount> = {
  hasNoGeneration: true,
};
